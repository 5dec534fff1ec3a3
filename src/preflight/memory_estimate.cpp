#include "preflight/memory_estimate.h"

#include <algorithm>

#include "preflight/expected_hits.h"

namespace mach {
namespace {

// Pages of the program and its libraries that a run touches (11 MB of code) and small allocations, and what loading a
// tokenizer takes at its peak per byte of tokenizer.json: 3.1 to 3.7 for those of Qwen3, gpt-oss, Gemma 3 and DeepSeek V3.
constexpr uint64_t kProgramBytes = 12'500'000;
constexpr uint64_t kTokenizerFactor = 3;

Fit judge(uint64_t total, std::optional<uint64_t> available) {
  if (!available) return Fit::kUnknown;
  if (total > *available) return Fit::kWontFit;
  return static_cast<double>(total) > kTightShare * static_cast<double>(*available) ? Fit::kTight
                                                                                    : Fit::kFits;
}

// The budget without --expert-cache-gb: what kTightShare of the memory leaves, never below the floor.
uint64_t automatic_bank(const MemoryEstimate& estimate) {
  if (!estimate.available) return std::min(estimate.experts, estimate.bank_floor);
  const auto usable = static_cast<uint64_t>(kTightShare * static_cast<double>(*estimate.available));
  const uint64_t left = usable - std::min(usable, estimate.fixed());
  return std::min(std::max(left, estimate.bank_floor), estimate.experts);
}

}  // namespace

std::string_view fit_name(Fit fit) noexcept {
  switch (fit) {
    case Fit::kFits:
      return "fits";
    case Fit::kTight:
      return "tight";
    case Fit::kWontFit:
      return "wont_fit";
    case Fit::kUnknown:
      return "unknown";
  }
  return "";
}

MemoryEstimate estimate_memory(const ModelConfig& config, const ModelBytes& bytes,
                               const MemoryRequest& request) {
  MemoryEstimate out;
  out.context = request.run.context;
  out.resident_weights = bytes.resident;
  out.experts = bytes.routed;
  out.expert_count = uint64_t{config.moe.experts} * bytes.expert.size();
  out.copies = request.copies;
  out.cache = cache_memory(config, request.run);
  out.draft = request.draft_bytes;
  out.scratch = scratch_memory(config, request.run);
  out.process = kProgramBytes + kTokenizerFactor * request.tokenizer_file_bytes;
  out.available = request.available;
  out.bank_floor = bytes.token_working_set;

  out.bank =
      request.expert_cache_bytes ? std::min(*request.expert_cache_bytes, out.experts) : automatic_bank(out);
  if (out.experts > 0) {
    const uint64_t one = std::max<uint64_t>(out.experts / std::max<uint64_t>(out.expert_count, 1), 1);
    out.bank_experts = std::min(out.bank / one, out.expert_count);
    out.bank_share = static_cast<double>(out.bank_experts) / static_cast<double>(out.expert_count);
    out.hit_rate = out.bank < out.bank_floor ? 0.0 : expected_hit_rate(out.bank_share);
  }
  out.streaming = out.bank < out.bank_floor ? Fit::kWontFit : judge(out.streaming_total(), out.available);
  out.resident = judge(out.resident_total(), out.available);
  return out;
}

}  // namespace mach
