// A forecast of decode speed from bytes alone: what one token reads from memory and from disk, over the rates of both. It
// is a bound and a guess, not a measurement, and says which of the two resources limits it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "preflight/memory_estimate.h"

namespace mach {

struct Rates {
  double memory = 0.0;         // bytes per second
  std::optional<double> disk;  // bytes per second; empty: not known
};

struct SpeedRange {
  double low = 0.0, high = 0.0;  // tokens per second
  std::string_view limit;        // "memory bandwidth" or "disk"
};

struct Forecast {
  uint64_t weight_bytes = 0;  // read from memory per token: resident matrices and top-k experts
  uint64_t cache_bytes = 0;   // keys and values read per token, at half the context
  double disk_bytes = 0.0;    // per token, at the expected hit rate
  Rates rates;
  std::optional<SpeedRange> streaming;  // empty: needs the disk's rate
  SpeedRange resident;
};

// `lookup_bytes`: of tables from which a token reads one row (the embedding where it is not the head too).
Forecast forecast_decode(const MemoryEstimate& memory, uint64_t lookup_bytes, const Rates& rates);

}  // namespace mach
