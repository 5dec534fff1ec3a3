// The ways in which mach can serve a model, and for each the gate that decides whether one checkpoint may take it. One
// table: `mach check` prints it, and what arch_summary() derives from it is embedded by GET /v1/capabilities.
// tests/ok_paths_test.cpp runs every cell that says ok. Pure functions over facts that others have read; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "arch/registry.h"
#include "arch/tensor_plan.h"

namespace mach {

enum class ServingPath : uint8_t {  // in the order in which they are printed
  kOpenAiHttp,
  kExpertStreaming,
  kResidentStacked,
  kBf16Streaming,
  kGgufExperts2Bit,
  kSpecdec,
  kContinuousBatching,
  kTurboQuantKv,
  kPrefixKvReuse,
  kNativeToolGrammar,
};

enum class PathStatus : uint8_t {
  kOk,
  kBlocked,        // mach cannot, whatever is added to the checkpoint
  kNeedsArtifact,  // would work with a file that is not there
  kUnknown,        // cannot be told from what was read
  kNotApplicable,
};
std::string_view path_status_name(PathStatus status) noexcept;  // "ok", "blocked", "needs_artifact", ...

enum class DraftState : uint8_t {
  kNone,
  kUsable,
  kUnusable,  // one was named, and it does not belong to this model
};

// What the gates look at. `checkpoint` false: a family as such (`mach check --all-archs`), the rest is unused.
struct PathFacts {
  const ArchRow* arch = nullptr;
  bool checkpoint = false;
  std::optional<ExpertLayout> layout;  // empty: tensor headers were not read
  bool sidecar = false;                // expert_sidecar/ is there and whole
  bool gguf_experts = false;           // config.json says that experts are GGUF blocks
  std::optional<bool> float_experts;   // routed experts are stored as bf16, fp16 or fp32
  bool tokenizer = false;              // tokenizer.json is there
  std::optional<bool> chat_template;   // in a file of its own or in tokenizer_config.json; empty: not read
  DraftState draft = DraftState::kNone;
  std::string draft_fault;  // of kUnusable
  bool mtp_block = false;   // a multi-token prediction block is among the tensors
};

// What config and plan say; artifacts beside them (sidecar, tokenizer, draft) are the caller's to add. `plan` null: tensor
// headers were not read.
PathFacts path_facts(const ModelConfig& config, const TensorPlan* plan);

struct PathVerdict {
  PathStatus status = PathStatus::kUnknown;
  std::string reason;  // one line
};

struct ServingPathRow {
  ServingPath path;
  std::string_view name;
  // Whether this version has the code. False: `blocked`, "not built in this version" and what there is `instead`, except
  // where the path makes no sense for the model anyway.
  bool built;
  PathVerdict (*gate)(const PathFacts& facts);
  std::string_view instead = {};
};

std::span<const ServingPathRow> serving_paths() noexcept;  // in enum order
const ServingPathRow& serving_path(ServingPath path) noexcept;

// The gate's answer, and the switch's.
PathVerdict path_verdict(ServingPath path, const PathFacts& facts);

// Whether sequences whose caches are of this kind can advance together in one pass.
bool batches(KvCacheKind kind) noexcept;

}  // namespace mach
