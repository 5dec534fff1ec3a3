// Speed of a loaded model: forward passes over prompts and over single tokens, at given depths of context and numbers of
// sequences. The time of a pass counts, sampling does not. Prompts are random ids; decoding goes on from them with ids sampled
// by the checkpoint's own parameters, so that routing is that of text the model writes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/loaded_engine.h"
#include "experts/expert_counters.h"
#include "measure/routing_stats.h"
#include "measure/token_cost.h"
#include "quant/kv_row.h"

namespace mach::measure {

struct BenchOptions {
  std::vector<uint32_t> prompts = {512};  // tokens; 0: no prefill measurement
  uint32_t generate = 128;                // tokens per sequence; 0: no decode measurement
  std::vector<uint32_t> depths = {0};     // tokens that are there before
  std::vector<uint32_t> batches = {1};    // sequences that decode together
  uint32_t runs = 3;                      // measured, after one that is not
  uint32_t prefill_chunk = 512;
  KvElement kv_element = KvElement::kBF16;
  FloatWeights float_weights = FloatWeights::kEightBit;
  uint64_t seed = 1;
};

enum class BenchKind : uint8_t { kPrefill, kDecode };

// What an expert cache did in the measured runs, where experts are streamed.
struct StreamingResult {
  ExpertStatus status;      // source, reader, budget
  ExpertCounters counters;  // of these runs
  double seconds = 0;       // of their passes
  double tokens = 0;        // of all sequences
  double stall_share() const {
    return seconds > 0 ? static_cast<double>(counters.stall_ns) * 1e-9 / seconds : 0;
  }
  double bytes_per_token() const {
    return tokens > 0 ? static_cast<double>(counters.bytes_read) / tokens : 0;
  }
  // Bytes read per second of passes: the rate of the disk while nothing else limits.
  double read_rate() const { return seconds > 0 ? static_cast<double>(counters.bytes_read) / seconds : 0; }
};

struct BenchResult {
  BenchKind kind = BenchKind::kPrefill;
  uint32_t tokens = 0;  // per sequence and run
  uint32_t depth = 0;
  uint32_t batch = 1;
  std::vector<double> rates;  // tokens per second of all sequences together, one per run
  PassBytes bytes;            // decode: of one pass at the middle of the run
  double macs = 0;            // per token
  std::optional<RoutingSummary> routing;
  std::optional<StreamingResult> streaming;

  double median() const;
};

struct BenchProgress {
  std::function<void(const std::string& what)> step;  // may be empty
  std::function<bool()> cancelled;                    // between passes; true ends with Error{kCancelled}
};

// Throws Error{kInvalidRequest} where depth + tokens exceed the model's positions.
std::vector<BenchResult> run_bench(LoadedEngine& engine, const BenchOptions& options,
                                   const BenchProgress& progress);

}  // namespace mach::measure
