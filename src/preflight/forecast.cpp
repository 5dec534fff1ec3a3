#include "preflight/forecast.h"

#include <algorithm>

#include "preflight/expected_hits.h"

namespace mach {
namespace {

// Shares of the read bandwidth that decode reaches: the best measured for a single column (specs of the kernels: 85 %), and
// half, which thread barriers, attention and small matrices have cost elsewhere.
constexpr double kBestShare = 0.85;
constexpr double kWorstShare = 0.5;

SpeedRange range(double memory_best, double memory_worst, double disk_best, double disk_worst) {
  // Best: reads overlap compute. Worst: one after the other.
  return {.low = 1.0 / (memory_worst + disk_worst),
          .high = 1.0 / std::max(memory_best, disk_best),
          .limit = disk_best > memory_best ? "disk" : "memory bandwidth"};
}

}  // namespace

Forecast forecast_decode(const MemoryEstimate& memory, uint64_t lookup_bytes, const Rates& rates) {
  Forecast out;
  out.rates = rates;
  out.weight_bytes =
      memory.resident_weights - std::min(lookup_bytes, memory.resident_weights) + memory.bank_floor;
  out.cache_bytes =
      memory.cache.paged / 2 + memory.cache.compressed / 2 + memory.cache.windows + memory.cache.recurrent;
  out.disk_bytes = (1.0 - memory.hit_rate) * static_cast<double>(memory.bank_floor);

  const auto read = static_cast<double>(out.weight_bytes + out.cache_bytes);
  const double best = read / (kBestShare * rates.memory);
  const double worst = read / (kWorstShare * rates.memory);
  out.resident = range(best, worst, 0.0, 0.0);
  if (out.disk_bytes == 0.0) {
    out.streaming = out.resident;
  } else if (rates.disk) {
    const double least_hits = memory.bank < memory.bank_floor ? 0.0 : even_hit_rate(memory.bank_share);
    const double most_bytes = (1.0 - least_hits) * static_cast<double>(memory.bank_floor);
    out.streaming = range(best, worst, out.disk_bytes / *rates.disk, most_bytes / *rates.disk);
  }
  return out;
}

}  // namespace mach
