#include "experts/expert_source.h"

#include <algorithm>

namespace mach {

std::string to_string(ExpertId id) {
  return "layer " + std::to_string(id.layer) + ", expert " + std::to_string(id.expert);
}

std::span<std::byte> ReadContext::staging(uint64_t size) {
  if (staging_.size() < size) staging_ = AlignedBuffer(size, kDirectIoAlignment);
  return staging_.bytes();
}

const ExpertLayerSpec* ExpertSource::find(uint32_t layer) const noexcept {
  const auto all = layers();
  const auto it =
      std::lower_bound(all.begin(), all.end(), layer,
                       [](const ExpertLayerSpec& spec, uint32_t wanted) { return spec.layer < wanted; });
  return it != all.end() && it->layer == layer ? &*it : nullptr;
}

}  // namespace mach
