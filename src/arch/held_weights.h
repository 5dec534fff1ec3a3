// How much memory the weights of a checkpoint take once it is loaded in fast mode, which is not what they take in the file:
// formats with a panel order are packed (quant/packing.h), matrices stored input-major are turned, vectors and ids become
// fp32 and 32-bit numbers, and the pages of the file that they came from are let go. Rows of plain floats are copied to huge
// pages if there are many. What is looked up or multiplied in fp32 stays in the mapped file. The loader sizes its expert bank
// by the same sums. Pure functions.
#pragma once

#include <cstdint>

#include "arch/model_config.h"
#include "arch/tensor_plan.h"

namespace mach {

// Bytes of one part of the weights.
struct HeldBytes {
  uint64_t packed = 0;  // in panel order, or rows copied to huge pages
  uint64_t copied = 0;  // turned matrices, fp32 vectors, ids
  uint64_t mapped = 0;  // pages of the files, once all of them have been read
  bool bf16 = false;    // some are bf16 and multiplied as such
  uint64_t total() const noexcept { return packed + copied + mapped; }
};

struct HeldWeights {
  HeldBytes resident;  // everything but routed experts
  HeldBytes experts;  // all routed experts, when they are held from the shards; 0 with ExpertLayout::kSidecar
};

// Matrices of this many bytes in all, routed experts included, are worth huge pages: in fast mode rows of plain floats leave the
// mapped file, too. Below it a copy would gain little and cost up to a huge page of memory and the time of a start.
inline constexpr uint64_t kHugePagesFrom = uint64_t{64} << 20;
uint64_t matrix_bytes(const TensorPlan& plan) noexcept;

// Rows that may be copied as they are.
bool is_plain_rows(const WeightRef& ref) noexcept;

// The plan is of this config.
HeldWeights held_weights(const ModelConfig& config, const TensorPlan& plan);

}  // namespace mach
