// What this machine can do at most, to set measured figures against: how fast memory is read and how many multiply-adds a
// second the vector units make, with a given number of threads. The best of several rounds, so that a busy neighbour shows
// less. Takes about a second.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/thread_pool.h"
#include "roofline/peaks.h"

namespace mach::roofline {

// Per second; one multiply-add counts once. bf16 0 where the processor has no bf16 products.
struct Roofline {
  double read_bytes = 0;
  double fp32_macs = 0;
  double int8_macs = 0;
  double bf16_macs = 0;
};

struct RooflineOptions {
  uint64_t read_bytes = uint64_t{512} << 20;  // memory that is read, far beyond any cache
  int rounds = 7;
};

// With all threads of the pool. `peaks` is a row of peaks() that the machine can run.
Roofline measure_roofline(const Peaks& peaks, ThreadPool& pool, const RooflineOptions& options = {});

// The best row of peaks() for this machine.
const Peaks& best_peaks() noexcept;

}  // namespace mach::roofline
