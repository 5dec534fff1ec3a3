// Writes made-up tensors as the safetensors shards of a checkpoint, rows made in parallel and written where they belong, with
// a megabyte of memory per thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>

#include "base/thread_pool.h"
#include "synth/storage_plan.h"

namespace mach::synth {

// Bytes written so far and in all; false stops the work with Error{kCancelled}. Called from one thread at a time.
using WriteProgress = std::function<bool(uint64_t done, uint64_t total)>;

inline constexpr uint64_t kDefaultShardBytes = uint64_t{5} << 30;

// Shards model-0000i-of-0000n.safetensors with their index in `folder`, flushed to the device. Throws Error{kOutOfBudget}
// before it begins if the file system has too little room, Error{kIo}.
void write_shards(const std::filesystem::path& folder, std::span<const SynthTensor> tensors, ThreadPool& pool,
                  const WriteProgress& progress, uint64_t shard_bytes = kDefaultShardBytes);

}  // namespace mach::synth
