#include "preflight/memory_estimate.h"

#include <algorithm>

#include "base/checked_math.h"
#include "experts/bank_size.h"
#include "preflight/expected_hits.h"

namespace mach {
namespace {

// Pages of the program and its libraries that a run touches (12.2 MB by /proc/PID/smaps, of which `mach archs` takes 10.6),
// and config, plan, template and other small things (about 1.2 MB). What loading a tokenizer takes at its peak per byte of
// tokenizer.json: 3.1 to 3.7 for those of Qwen3, gpt-oss, Gemma 3 and DeepSeek V3.
constexpr uint64_t kProgramBytes = 13'400'000;
constexpr uint64_t kTokenizerFactor = 3;

constexpr uint64_t kHugePage = uint64_t{2} << 20;

Fit judge(uint64_t total, std::optional<uint64_t> available) {
  if (!available) return Fit::kUnknown;
  if (total > *available) return Fit::kWontFit;
  return static_cast<double>(total) > kTightShare * static_cast<double>(*available) ? Fit::kTight
                                                                                    : Fit::kFits;
}

uint64_t beyond(uint64_t whole, uint64_t part) { return whole - std::min(whole, part); }

// Slots of a record size lie together, on pages of 2 MiB (PageHint::kHuge).
uint64_t bank_memory(const MemoryEstimate& estimate, const MemoryRequest& request, uint32_t top_k) {
  if (request.layers.empty()) return estimate.bank;
  uint64_t sum = estimate.read_staging;
  for (const SlotClass& slots :
       plan_slots(request.layers, top_k, beyond(estimate.bank, estimate.read_staging)))
    sum += round_up(slots.slots * slots.record_size, kHugePage);
  return sum;
}

// The bank that the loader would make of the memory there is, and whether all experts fit in it. Where headers were not
// read, all experts are one record.
uint64_t automatic_bank(const MemoryEstimate& estimate, const MemoryRequest& request, uint64_t run) {
  if (!request.memory) return estimate.least_bank();
  std::vector<ExpertLayerSpec> layers = request.layers;
  if (layers.empty()) layers = {{.experts = 1, .record = {.size = estimate.records}}};
  const uint64_t other = estimate.resident_weights + estimate.copies + run;
  const uint64_t bank = auto_bank_bytes(layers, *request.memory, other);
  return bank == estimate.records ? bank + estimate.read_staging : bank;
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
  if (request.held) {
    out.copies = beyond(request.held->resident.total(), out.resident_weights);
    out.expert_copies = beyond(request.held->experts.total(), out.experts);
  }
  out.cache = cache_memory(config, request.run);
  out.draft = request.draft_bytes;
  out.scratch = scratch_memory(config, request.run);
  out.process = kProgramBytes + kTokenizerFactor * request.tokenizer_file_bytes;
  if (request.memory) out.available = request.memory->available;

  out.records = request.layers.empty() ? out.experts : expert_record_bytes(request.layers);
  out.bank_floor =
      request.layers.empty() ? bytes.token_working_set : bank_floor_bytes(request.layers, config.moe.top_k);
  out.read_staging = kDefaultLanes * request.read_staging;
  const uint64_t whole = out.records + out.read_staging;
  const uint64_t automatic = automatic_bank(out, request, run_memory(config, request.run));
  out.bank = request.expert_cache_bytes ? std::min(*request.expert_cache_bytes, whole) : automatic;
  const bool works = out.bank >= out.least_bank();
  if (out.expert_count > 0) {
    const uint64_t one = std::max<uint64_t>(out.records / out.expert_count, 1);
    out.bank_experts = std::min(beyond(out.bank, out.read_staging) / one, out.expert_count);
    out.bank_share = static_cast<double>(out.bank_experts) / static_cast<double>(out.expert_count);
    out.hit_rate = works ? expected_hit_rate(out.bank_share) : 0.0;
  }
  out.bank_memory = works ? bank_memory(out, request, config.moe.top_k) : out.bank;
  // The loader's own choice leaves its reserve.
  const bool chosen_by_loader = request.memory && !request.expert_cache_bytes;
  out.streaming = !works             ? Fit::kWontFit
                  : chosen_by_loader ? Fit::kFits
                                     : judge(out.streaming_total(), out.available);
  out.resident = judge(out.resident_total(), out.available);
  // The loader holds all experts only where its own bank would.
  if (request.memory && out.experts > 0 && automatic < whole) out.resident = Fit::kWontFit;
  return out;
}

}  // namespace mach
