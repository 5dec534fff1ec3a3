// What this machine can do at most, to set kernel figures against: how fast memory is read and how many multiply-adds a
// second the vector units make, with one thread and with all. Best of several rounds, so that a busy neighbour shows less.
//   roofline [threads]
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "peaks.h"

namespace {

using namespace mach;  // NOLINT(google-build-using-namespace): a program, not a header

constexpr int kRounds = 7;
constexpr size_t kReadBytes = size_t{512} << 20;  // far beyond any cache
constexpr size_t kChunk = size_t{1} << 20;

std::atomic<uint64_t> sink{0};  // keeps results alive

// The highest rate of `amount` per second over the rounds.
template <class F>
double best_rate(double amount, F&& run) {
  double best = 0.0;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, amount / seconds.count());
  }
  return best;
}

void measure(const roofline::Peaks& peaks, size_t threads, const AlignedBuffer& memory) {
  ThreadPool pool(threads);
  const double read = best_rate(kReadBytes, [&] {
    pool.run(kReadBytes / kChunk,
             [&](size_t chunk, size_t) { sink += peaks.read(memory.data() + chunk * kChunk, kChunk); });
  });
  constexpr uint64_t kSteps = 2'000'000;
  constexpr size_t kPieces = 8;  // per thread, so that threads finish together
  const double work = static_cast<double>(kSteps * kPieces * threads);
  const auto run_all = [&](auto f) {
    pool.run(kPieces * threads,
             [&](size_t, size_t) { sink += static_cast<uint64_t>(static_cast<int64_t>(f(kSteps))); });
  };
  const double fp32 = best_rate(work * peaks.fp32_per_step, [&] { run_all(peaks.fp32); });
  const double int8 = best_rate(work * peaks.int8_per_step, [&] { run_all(peaks.int8); });
  std::printf("%-8s %2zu threads   read %6.1f GB/s   fp32 %8.1f GMAC/s   int8 %8.1f GMAC/s\n",
              peaks.name.data(), threads, read * 1e-9, fp32 * 1e-9, int8 * 1e-9);
}

}  // namespace

int main(int argc, char** argv) {
  const auto available = probe_cpu_features();
  const size_t threads = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : std::thread::hardware_concurrency();
  AlignedBuffer memory(kReadBytes, kVectorAlignment, PageHint::kHuge);
  std::fill_n(memory.as<uint8_t>().data(), kReadBytes, uint8_t{1});
  for (const auto& peaks : roofline::peaks()) {
    if (!available.has(peaks.required)) continue;
    measure(peaks, 1, memory);
    if (threads > 1) measure(peaks, threads, memory);
  }
  return 0;
}
