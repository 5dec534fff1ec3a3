// What this machine can do at most, per instruction set, with one thread and with all:
//   roofline [threads]
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/thread_pool.h"
#include "roofline/roofline.h"

int main(int argc, char** argv) {
  const size_t threads = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : std::thread::hardware_concurrency();
  const auto available = mach::probe_cpu_features();
  for (const auto& peaks : mach::roofline::peaks()) {
    if (!available.has(peaks.required)) continue;
    for (size_t n = 1; n <= threads; n = n == 1 && threads > 1 ? threads : threads + 1) {
      mach::ThreadPool pool(n);
      const auto r = mach::roofline::measure_roofline(peaks, pool);
      std::printf("%-10s %2zu threads   read %6.1f GB/s   fp32 %8.1f   int8 %8.1f   bf16 %8.1f GMAC/s\n",
                  peaks.name.data(), n, r.read_bytes * 1e-9, r.fp32_macs * 1e-9, r.int8_macs * 1e-9,
                  r.bf16_macs * 1e-9);
    }
  }
  return 0;
}
