#include "roofline/roofline.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "base/aligned_buffer.h"

namespace mach::roofline {
namespace {

constexpr size_t kChunk = size_t{1} << 20;
constexpr uint64_t kSteps = 1'000'000;
constexpr size_t kPieces = 8;  // per thread, so that threads finish together

// The highest rate of `amount` per second over the rounds.
template <class F>
double best_rate(double amount, int rounds, F&& run) {
  double best = 0.0;
  for (int round = 0; round < rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, amount / seconds.count());
  }
  return best;
}

}  // namespace

Roofline measure_roofline(const Peaks& peaks, ThreadPool& pool, const RooflineOptions& options) {
  std::atomic<uint64_t> sink{0};  // keeps results alive
  const size_t chunks = std::max<size_t>(pool.threads(), options.read_bytes / kChunk);
  AlignedBuffer memory(chunks * kChunk, kVectorAlignment, PageHint::kHuge);
  pool.run(chunks,
           [&](size_t chunk, size_t) { std::fill_n(memory.data() + chunk * kChunk, kChunk, std::byte{1}); });
  Roofline result;
  result.read_bytes = best_rate(static_cast<double>(chunks * kChunk), options.rounds, [&] {
    pool.run(chunks,
             [&](size_t chunk, size_t) { sink += peaks.read(memory.data() + chunk * kChunk, kChunk); });
  });
  const double steps = static_cast<double>(kSteps * kPieces * pool.threads());
  const auto rate = [&](auto function, uint32_t per_step) {
    return best_rate(steps * per_step, options.rounds, [&] {
      pool.run(kPieces * pool.threads(), [&](size_t, size_t) {
        sink += static_cast<uint64_t>(static_cast<int64_t>(function(kSteps)));
      });
    });
  };
  result.fp32_macs = rate(peaks.fp32, peaks.fp32_per_step);
  result.int8_macs = rate(peaks.int8, peaks.int8_per_step);
  if (peaks.bf16 != nullptr) result.bf16_macs = rate(peaks.bf16, peaks.bf16_per_step);
  return result;
}

const Peaks& best_peaks() noexcept {
  const CpuFeatures available = probe_cpu_features();
  for (const Peaks& row : peaks()) {
    if (available.has(row.required)) return row;
  }
  return peaks().back();
}

}  // namespace mach::roofline
