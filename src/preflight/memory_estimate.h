// How much memory a run of a checkpoint takes, from its headers and config, and whether this machine has it. Two ways to
// hold the routed experts are judged: all of them resident, or a bank of some of them with the rest on disk. Every byte
// count comes from the functions that the loader sizes itself by (arch/held_weights.h, arch/run_memory.h,
// experts/bank_size.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "arch/expert_record.h"
#include "arch/held_weights.h"
#include "arch/model_bytes.h"
#include "arch/run_memory.h"
#include "base/memory_info.h"

namespace mach {

enum class Fit : uint8_t { kFits, kTight, kWontFit, kUnknown };
std::string_view fit_name(Fit fit) noexcept;  // "fits", "tight", "wont_fit", "unknown"

// Beyond this share of the available memory a run is `tight`: the kernel starts to reclaim pages of the page cache that
// the run itself wants, and the smallest neighbour pushes it over.
inline constexpr double kTightShare = 0.9;

struct MemoryRequest {
  RunShape run;
  std::optional<uint64_t> expert_cache_bytes;  // the budget asked for; empty: auto_bank_bytes()
  // How the loader holds the weights, and routed experts as records in the order that it holds. Empty where tensor headers
  // were not read: then weights count as they are stored.
  std::optional<HeldWeights> held;
  std::vector<ExpertLayerSpec> layers;
  uint64_t read_staging = 0;  // of one record that is being read
  uint64_t draft_bytes = 0;
  uint64_t tokenizer_file_bytes = 0;
  std::optional<MemoryInfo> memory;  // empty: not known, verdicts are kUnknown
};

struct MemoryEstimate {
  uint32_t context = 0;
  uint64_t resident_weights = 0;  // everything but routed experts, as stored
  uint64_t experts = 0;           // all routed experts, as stored
  uint64_t expert_count = 0;      // of all layers
  // What loading adds to these: packed and turned matrices less the pages that are let go, fp32 vectors, whole pages.
  uint64_t copies = 0;
  uint64_t expert_copies = 0;
  uint64_t records = 0;  // all routed experts as records of a bank
  CacheMemory cache;     // one sequence of `context` tokens
  uint64_t draft = 0;
  uint64_t scratch = 0;  // intermediate values of a prompt pass
  uint64_t process = 0;  // program, tokenizer, stacks

  uint64_t bank_floor = 0;    // one token's working set
  uint64_t read_staging = 0;  // inside a bank, for records that are put together from several places
  uint64_t bank = 0;          // what the budget buys, staging included
  uint64_t bank_memory = 0;   // what that takes: whole huge pages
  uint64_t bank_experts = 0;  // whole experts in it
  double bank_share = 0.0;    // of all routed experts
  double hit_rate = 0.0;      // expected, see expected_hits.h

  std::optional<uint64_t> available;
  uint64_t fixed() const noexcept {
    return resident_weights + copies + cache.peak() + draft + scratch + process;
  }
  uint64_t streaming_total() const noexcept { return fixed() + bank_memory; }
  uint64_t resident_total() const noexcept { return fixed() + experts + expert_copies; }
  uint64_t least_bank() const noexcept { return bank_floor + read_staging; }
  Fit streaming = Fit::kUnknown;
  Fit resident = Fit::kUnknown;
};

MemoryEstimate estimate_memory(const ModelConfig& config, const ModelBytes& bytes,
                               const MemoryRequest& request);

}  // namespace mach
