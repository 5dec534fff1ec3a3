#include "experts/resident_experts.h"

#include <string>

#include "mach/error.h"

namespace mach {

ExpertLease ResidentExperts::acquire(uint32_t layer, std::span<const uint32_t> experts, ExpertUse /*use*/) {
  std::vector<ExpertWeights> weights;
  weights.reserve(experts.size());
  for (const uint32_t expert : experts) {
    if (expert >= max_lease(layer)) {
      throw Error(ErrorCode::kInternal,
                  "layer " + std::to_string(layer) + " has no expert " + std::to_string(expert));
    }
    weights.push_back(layers_[layer][expert]);
  }
  return {std::move(weights), nullptr};
}

ExpertStatus ResidentExperts::status() const {
  ExpertStatus status;
  for (const auto& layer : layers_) status.experts += layer.size();
  status.held = status.experts;
  return status;
}

uint32_t ResidentExperts::max_lease(uint32_t layer) const noexcept {
  return layer < layers_.size() ? static_cast<uint32_t>(layers_[layer].size()) : 0;
}

}  // namespace mach
