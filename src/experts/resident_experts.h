// Routed experts that are all in memory, usually mapped from the checkpoint: acquire() is a look-up, one lease
// may hold every expert of a layer, and there is nothing to release or prefetch. Owns the views, not the bytes.
// Immutable, so any thread may call it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "experts/expert_provider.h"

namespace mach {

class ResidentExperts final : public ExpertProvider {
 public:
  // layers[i] holds the experts of layer i, none for a layer without. What the views point to must outlive
  // this object.
  explicit ResidentExperts(std::vector<std::vector<ExpertWeights>> layers) : layers_(std::move(layers)) {}

  // Throws Error{kInternal} for an id that the layer does not have.
  ExpertLease acquire(uint32_t layer, std::span<const uint32_t> experts, ExpertUse use) override;
  using ExpertProvider::acquire;
  uint32_t max_lease(uint32_t layer) const noexcept override;
  void prefetch(uint32_t /*layer*/, std::span<const uint32_t> /*experts*/,
                PrefetchHint /*hint*/) noexcept override {}
  ExpertStatus status() const override;

 private:
  const std::vector<std::vector<ExpertWeights>> layers_;
};

}  // namespace mach
