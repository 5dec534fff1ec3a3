// Which pieces of the shards are read for one expert: its planes lie in several tensors, at any alignment and distance, so
// the blocks that hold them are read into staging memory and put together from there. Pure functions of the plan.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "arch/sidecar_layout.h"
#include "arch/tensor_plan.h"

namespace mach {

struct FileRange {
  uint32_t file = 0;   // shard
  uint64_t begin = 0;  // bytes from the start of the file
  uint64_t end = 0;
};

// Aligned for direct reads at their beginning, ascending, near ones joined.
std::vector<FileRange> expert_ranges(const TensorPlan& plan, const ExpertRef& expert);

// The memory that ranges are read into: each begins and ends at a multiple of kDirectIoAlignment.
uint64_t staged_bytes(std::span<const FileRange> ranges) noexcept;

// The most staging that one read takes: of experts in the shards, and of a sidecar whose records are wanted in `order`.
uint64_t read_staging(const TensorPlan& plan);
uint64_t read_staging(const SidecarLayout& layout, RecordOrder order) noexcept;

}  // namespace mach
