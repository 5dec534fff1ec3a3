#include "experts/bank_size.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "mach/error.h"

namespace mach {
namespace {

// A class's own working set, and its part of what is left over. Rounded so that the parts never exceed the whole.
uint64_t share(uint64_t budget, uint64_t part, uint64_t whole) noexcept {
  if (part == whole) return budget;
  const double fraction = static_cast<double>(part) / static_cast<double>(whole);
  return part + static_cast<uint64_t>(static_cast<double>(budget - whole) * fraction * (1 - 1e-12));
}

}  // namespace

uint64_t expert_record_bytes(std::span<const ExpertLayerSpec> layers) noexcept {
  uint64_t sum = 0;
  for (const ExpertLayerSpec& layer : layers) sum += layer.experts * layer.record.size;
  return sum;
}

uint64_t expert_total(std::span<const ExpertLayerSpec> layers) noexcept {
  uint64_t sum = 0;
  for (const ExpertLayerSpec& layer : layers) sum += layer.experts;
  return sum;
}

uint64_t bank_floor_bytes(std::span<const ExpertLayerSpec> layers, uint32_t top_k) noexcept {
  uint64_t sum = 0;
  for (const ExpertLayerSpec& layer : layers) sum += std::min(top_k, layer.experts) * layer.record.size;
  return sum;
}

std::vector<SlotClass> plan_slots(std::span<const ExpertLayerSpec> layers, uint32_t top_k,
                                  uint64_t budget_bytes) {
  const uint64_t floor = bank_floor_bytes(layers, top_k);
  if (budget_bytes < floor) {
    throw Error(
        ErrorCode::kOutOfBudget,
        fmt::format(
            "an expert cache of {} bytes ({:.2f} GB) is too small: one token uses {} bytes of experts; "
            "give at least {:.2f} GB (--expert-cache-gb)",
            budget_bytes, static_cast<double>(budget_bytes) / 1e9, floor,
            static_cast<double>((floor + 9'999'999) / 10'000'000) / 100));
  }
  std::map<uint64_t, SlotClass> by_size;
  std::map<uint64_t, uint64_t> floors;
  for (const ExpertLayerSpec& layer : layers) {
    SlotClass& slots = by_size[layer.record.size];
    slots.record_size = layer.record.size;
    slots.experts += layer.experts;
    slots.layers.push_back(layer.layer);
    floors[layer.record.size] += std::min(top_k, layer.experts) * layer.record.size;
  }
  std::vector<SlotClass> classes;
  for (auto& [size, slots] : by_size) {
    const uint64_t count = share(budget_bytes, floors[size], floor) / size;
    slots.slots = static_cast<uint32_t>(std::min<uint64_t>(count, slots.experts));
    classes.push_back(std::move(slots));
  }
  return classes;
}

uint64_t memory_reserve(const MemoryInfo& memory) noexcept {
  constexpr uint64_t kLeast = uint64_t{256} << 20;
  constexpr uint64_t kMost = uint64_t{2} << 30;
  return std::clamp(memory.total / 16, kLeast, kMost);
}

uint64_t auto_bank_bytes(std::span<const ExpertLayerSpec> layers, const MemoryInfo& memory,
                         uint64_t other_bytes) noexcept {
  const uint64_t taken = memory_reserve(memory) + other_bytes;
  const uint64_t left = memory.available - std::min(memory.available, taken);
  return std::min(left, expert_record_bytes(layers));
}

}  // namespace mach
