// The figures of one `mach bench` run, as a table for people and as JSON for programs (schema: docs/PERFORMANCE.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "mach/engine.h"

#include "measure/model_bench.h"
#include "roofline/roofline.h"

namespace mach::measure {

struct BenchReport {
  EngineInfo engine;
  roofline::Roofline roofline;  // with the engine's number of threads
  std::string roofline_set;
  double first_token_seconds =
      0;                  // the first pass after opening: reads what the system did not have in memory
  uint64_t peak_rss = 0;  // bytes, of the process from loading on
  uint64_t rss_anon = 0;  // after the runs
  uint64_t rss_file = 0;
  std::vector<BenchResult> results;
};

// Of a result, as shares of the roofline: bytes per second of memory, multiply-adds per second of the int8 peak.
double bandwidth_share(const BenchReport& report, const BenchResult& result);
double int8_share(const BenchReport& report, const BenchResult& result);

nlohmann::ordered_json to_json(const BenchReport& report);
std::string to_text(const BenchReport& report);

}  // namespace mach::measure
