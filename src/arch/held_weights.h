// How much memory the weights of a checkpoint take once it is loaded in fast mode, which is not what they take in the file:
// formats with a panel order are packed (quant/packing.h), matrices stored input-major are turned, vectors and ids become
// fp32 and 32-bit numbers, and the pages of the file that they came from are let go. What is looked up or multiplied in
// fp32 stays in the mapped file. The loader sizes its expert bank by the same sums. Pure functions.
#pragma once

#include <cstdint>

#include "arch/model_config.h"
#include "arch/tensor_plan.h"

namespace mach {

// Bytes of one part of the weights.
struct HeldBytes {
  uint64_t packed = 0;  // in panel order
  uint64_t copied = 0;  // turned matrices, fp32 vectors, ids
  uint64_t mapped = 0;  // pages of the files, once all of them have been read
  uint64_t total() const noexcept { return packed + copied + mapped; }
};

struct HeldWeights {
  HeldBytes resident;  // everything but routed experts
  HeldBytes experts;  // all routed experts, when they are held from the shards; 0 with ExpertLayout::kSidecar
};

// The plan is of this config.
HeldWeights held_weights(const ModelConfig& config, const TensorPlan& plan);

}  // namespace mach
