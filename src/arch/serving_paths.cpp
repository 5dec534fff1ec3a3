#include "arch/serving_paths.h"

#include <array>

#include <fmt/format.h>

#include "arch/model_bytes.h"

namespace mach {
namespace {

constexpr std::string_view kNotBuilt = "not built in this version";

PathVerdict ok(std::string reason) { return {PathStatus::kOk, std::move(reason)}; }
PathVerdict unknown(std::string reason) { return {PathStatus::kUnknown, std::move(reason)}; }
PathVerdict needs(std::string reason) { return {PathStatus::kNeedsArtifact, std::move(reason)}; }
PathVerdict not_applicable(std::string reason) { return {PathStatus::kNotApplicable, std::move(reason)}; }

PathVerdict unread_headers() { return unknown("tensor headers were not read"); }

// The server's paths take text.
bool lacks_tokenizer(const PathFacts& facts) { return facts.checkpoint && !facts.tokenizer; }
PathVerdict needs_tokenizer() { return needs("no tokenizer.json: takes and gives token ids only"); }

PathVerdict openai_http(const PathFacts& facts) {
  if (lacks_tokenizer(facts)) return needs_tokenizer();
  return ok("registered architecture");
}

PathVerdict expert_streaming(const PathFacts& facts) {
  if (!facts.checkpoint) return ok("from an expert sidecar, or expert by expert from safetensors");
  if (facts.layout == ExpertLayout::kNone) return not_applicable("the model has no routed experts");
  if (facts.sidecar) return ok("expert-sidecar streaming");
  if (facts.gguf_experts || facts.layout == ExpertLayout::kSidecar)
    return needs("experts are outside the safetensors files and there is no whole expert_sidecar/");
  if (!facts.layout) return unread_headers();
  return ok(fmt::format("expert by expert from {} safetensors; an expert_sidecar/ reads faster",
                        expert_layout_name(*facts.layout)));
}

PathVerdict resident_stacked(const PathFacts& facts) {
  if (!facts.checkpoint) {
    return ok(facts.arch->stacked ? "stacked and sliced layouts are held in memory whole"
                                  : "the sliced layout is held in memory whole");
  }
  if (facts.gguf_experts || facts.layout == ExpertLayout::kSidecar)
    return unknown("experts are in the sidecar only");
  if (!facts.layout) return unread_headers();
  return ok(
      fmt::format("{}-layout checkpoint usable for resident serving", expert_layout_name(*facts.layout)));
}

PathVerdict bf16_streaming(const PathFacts& facts) {
  if (!facts.checkpoint) return ok("for checkpoints whose experts are stored as floats");
  if (facts.layout == ExpertLayout::kNone) return not_applicable("the model has no routed experts");
  if (!facts.float_experts) return unread_headers();
  if (!*facts.float_experts) return not_applicable("routed experts are quantised");
  return ok(facts.layout ? fmt::format("{} layout supports bf16 streaming", expert_layout_name(*facts.layout))
                         : "experts are stored as floats");
}

PathVerdict gguf_experts(const PathFacts& facts) {
  if (!facts.checkpoint) return ok("for checkpoints with a GGUF expert sidecar");
  if (!facts.gguf_experts) return not_applicable("no GGUF expert sidecar or format");
  return facts.sidecar ? ok("GGUF expert sidecar") : needs("config.json announces a GGUF expert sidecar");
}

PathVerdict specdec(const PathFacts& facts) {
  const std::string_view kind = facts.arch->specdec_kind;
  if (kind.empty()) return not_applicable("no drafter is defined for this family");
  if (kind == "specdec_v7") {
    if (facts.checkpoint && facts.draft == DraftState::kUsable) return ok("specdec_v7 with the draft given");
    if (facts.checkpoint && facts.draft == DraftState::kUnusable) return needs(facts.draft_fault);
    if (facts.checkpoint && facts.mtp_block) return ok("multi-token prediction block of the checkpoint");
    return needs("specdec_v7 draft requires a usable --draft-dir");
  }
  if (facts.checkpoint && facts.mtp_block) return ok("multi-token prediction block of the checkpoint");
  return needs(fmt::format("{} needs the multi-token prediction tensors", kind));
}

PathVerdict continuous_batching(const PathFacts& facts) {
  if (lacks_tokenizer(facts)) return needs_tokenizer();
  const std::string_view kind = kv_cache_kind_name(facts.arch->kv_cache_kind);
  if (batches(facts.arch->kv_cache_kind)) return ok(fmt::format("{} cache is batch-compatible", kind));
  return {PathStatus::kBlocked, fmt::format("{} cache advances one sequence at a time", kind)};
}

PathVerdict turboquant_kv(const PathFacts& facts) {
  return ok(
      fmt::format("{} cache, keys and values compressed", kv_cache_kind_name(facts.arch->kv_cache_kind)));
}

PathVerdict prefix_kv_reuse(const PathFacts& facts) {
  if (lacks_tokenizer(facts)) return needs_tokenizer();
  switch (facts.arch->kv_cache_kind) {
    case KvCacheKind::kStandard:
      return ok("standard cache supports prefix trim reuse");
    case KvCacheKind::kHybridGdn:
      return ok("snapshots of keys, values and recurrent state");
    case KvCacheKind::kRotating:
      return ok("snapshots of rings and full layers");
    case KvCacheKind::kCompressed:
      return ok("snapshots of windows and compressed entries");
  }
  return unknown("cache kind");
}

// Calls are written and read in the format that the family's template teaches.
PathVerdict native_tool_grammar(const PathFacts& facts) {
  if (lacks_tokenizer(facts)) return needs_tokenizer();
  if (facts.checkpoint && !facts.chat_template)
    return unknown("no chat_template.jinja; whether tokenizer_config.json has a template was not read");
  if (facts.checkpoint && !*facts.chat_template) return needs("no chat template: prompts cannot offer tools");
  return ok("tool calls are parsed and constrained in the family's own format");
}

constexpr std::array<ServingPathRow, 10> kServingPaths = {{
    {ServingPath::kOpenAiHttp, "openai_http", true, openai_http},
    {ServingPath::kExpertStreaming, "expert_streaming", true, expert_streaming},
    {ServingPath::kResidentStacked, "resident_stacked", true, resident_stacked},
    {ServingPath::kBf16Streaming, "bf16_streaming", true, bf16_streaming},
    {ServingPath::kGgufExperts2Bit, "gguf_experts_2bit", false, gguf_experts},
    {ServingPath::kSpecdec, "specdec", false, specdec},
    {ServingPath::kContinuousBatching, "continuous_batching", true, continuous_batching},
    {ServingPath::kTurboQuantKv, "turboquant_kv", false, turboquant_kv,
     "--kv-cache q8 keeps keys and values in half the memory"},
    {ServingPath::kPrefixKvReuse, "prefix_kv_reuse", true, prefix_kv_reuse},
    {ServingPath::kNativeToolGrammar, "native_tool_grammar", true, native_tool_grammar},
}};

constexpr bool in_enum_order() {
  for (size_t i = 0; i < kServingPaths.size(); ++i) {
    if (static_cast<size_t>(kServingPaths[i].path) != i) return false;
  }
  return true;
}
static_assert(in_enum_order());

}  // namespace

std::string_view path_status_name(PathStatus status) noexcept {
  switch (status) {
    case PathStatus::kOk:
      return "ok";
    case PathStatus::kBlocked:
      return "blocked";
    case PathStatus::kNeedsArtifact:
      return "needs_artifact";
    case PathStatus::kUnknown:
      return "unknown";
    case PathStatus::kNotApplicable:
      return "n/a";
  }
  return "";
}

PathFacts path_facts(const ModelConfig& config, const TensorPlan* plan) {
  PathFacts facts{.arch = &arch_row(config.family), .checkpoint = true};
  facts.gguf_experts = config.quant.gguf_experts;
  std::optional<WeightFormat> format;
  if (plan == nullptr) {
    format = announced_expert_format(config);
  } else {
    facts.layout = plan->layout;
    if (!plan->experts.empty()) format = plan->experts.front().experts.front().gate.format;
  }
  if (format) facts.float_experts = format->scale == ScaleType::kNone;
  return facts;
}

std::span<const ServingPathRow> serving_paths() noexcept { return kServingPaths; }

const ServingPathRow& serving_path(ServingPath path) noexcept {
  return kServingPaths[static_cast<size_t>(path)];
}

PathVerdict path_verdict(ServingPath path, const PathFacts& facts) {
  const ServingPathRow& row = serving_path(path);
  PathVerdict verdict = row.gate(facts);
  if (row.built || verdict.status == PathStatus::kNotApplicable) return verdict;
  std::string reason(kNotBuilt);
  if (!row.instead.empty()) reason += fmt::format("; {}", row.instead);
  return {PathStatus::kBlocked, std::move(reason)};
}

// Model::forward takes any mixture of sequences, whatever their caches.
bool batches(KvCacheKind kind) noexcept {
  switch (kind) {
    case KvCacheKind::kStandard:
    case KvCacheKind::kHybridGdn:
    case KvCacheKind::kRotating:
    case KvCacheKind::kCompressed:
      return true;
  }
  return false;
}

}  // namespace mach
