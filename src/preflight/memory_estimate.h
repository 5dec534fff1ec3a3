// How much memory a run of a checkpoint takes, from its headers and config, and whether this machine has it. Two ways to
// hold the routed experts are judged: all of them resident, or a bank of some of them with the rest on disk. Every byte
// count comes from the functions that the loader sizes itself by (arch/model_bytes.h, arch/run_memory.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "arch/model_bytes.h"
#include "arch/run_memory.h"

namespace mach {

enum class Fit : uint8_t { kFits, kTight, kWontFit, kUnknown };
std::string_view fit_name(Fit fit) noexcept;  // "fits", "tight", "wont_fit", "unknown"

// Beyond this share of the available memory a run is `tight`: the kernel starts to reclaim pages of the page cache that
// the run itself wants, and the smallest neighbour pushes it over.
inline constexpr double kTightShare = 0.9;

struct MemoryRequest {
  RunShape run;
  std::optional<uint64_t> expert_cache_bytes;  // the budget asked for; empty: what is left of the memory
  uint64_t copies = 0;                         // load_copies() of the plan
  uint64_t draft_bytes = 0;
  uint64_t tokenizer_file_bytes = 0;
  std::optional<uint64_t> available;  // empty: not known, verdicts are kUnknown
};

struct MemoryEstimate {
  uint32_t context = 0;
  uint64_t resident_weights = 0;  // everything but routed experts
  uint64_t experts = 0;           // all routed experts
  uint64_t expert_count = 0;      // of all layers
  uint64_t copies = 0;            // what loading copies beside the mapped file
  CacheMemory cache;              // one sequence of `context` tokens
  uint64_t draft = 0;
  uint64_t scratch = 0;  // intermediate values of a prompt pass
  uint64_t process = 0;  // program, tokenizer, stacks

  uint64_t bank_floor = 0;    // one token's working set: the smallest bank that works
  uint64_t bank = 0;          // what the budget buys
  uint64_t bank_experts = 0;  // whole experts in it
  double bank_share = 0.0;    // of all routed experts
  double hit_rate = 0.0;      // expected, see expected_hits.h

  std::optional<uint64_t> available;
  uint64_t fixed() const noexcept {
    return resident_weights + copies + cache.peak() + draft + scratch + process;
  }
  uint64_t streaming_total() const noexcept { return fixed() + bank; }
  uint64_t resident_total() const noexcept { return fixed() + experts; }
  Fit streaming = Fit::kUnknown;
  Fit resident = Fit::kUnknown;
};

MemoryEstimate estimate_memory(const ModelConfig& config, const ModelBytes& bytes,
                               const MemoryRequest& request);

}  // namespace mach
