// What a computation needs besides its operands: threads, kernels, the numeric mode, and scratch memory that grows to the
// largest product seen and stays. One owner: an engine thread has one Compute, nobody else uses it meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "kernels/kernel_set.h"

namespace mach {

enum class Numerics : uint8_t {
  kExact,  // fp32 activations against dequantised weights; results are the same on every machine, thread count and batch
  // int8 activations for integer codecs, bf16 ones for bf16 where the set has the instruction; the same for any thread count and
  // batch on one kernel set
  kFast,
};

// A block of memory per worker of a pool, 64-byte aligned.
class WorkerScratch {
 public:
  // Makes at least `bytes` available to each of `workers`; keeps what is there if it suffices.
  void reserve(size_t workers, size_t bytes);
  std::byte* of(size_t worker) noexcept { return blocks_[worker].data(); }

 private:
  std::vector<AlignedBuffer> blocks_;
};

struct Compute {
  Compute(ThreadPool& thread_pool, const KernelSet& kernel_set, Numerics mode)
      : pool(thread_pool), kernels(kernel_set), numerics(mode) {}

  ThreadPool& pool;
  const KernelSet& kernels;
  Numerics numerics;

  // Of multiply(); contents last for one call.
  WorkerScratch scratch;
  std::vector<size_t> chunk_ends;
};

}  // namespace mach
