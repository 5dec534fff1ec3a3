// Which routed experts a pruned artifact keeps. A plan file is JSON lines, one candidate per line (docs/ARTIFACTS.md):
//   {"id": "all", "keep": "all"}
//   {"id": "avgk96", "keep": [[0, 3, 5, ...], "all", ...]}
// `keep` has an entry per layer with routed experts, in the order of the layers: expert ids, or "all". Other keys are for
// people and tools, and ignored. Plans come from outside: all limits hold before memory is taken. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arch/model_config.h"

namespace mach {

struct KeepPlan {
  std::string id;
  // An entry per layer with routed experts; one without ids keeps all. No list at all: every layer keeps all.
  std::optional<std::vector<std::optional<std::vector<uint32_t>>>> layers;
};

// The candidate `id` of a plan file; `what` names the file in errors. Throws Error{kNotFound} listing the candidates if none
// has this id, Error{kCorruptFile} naming the line for everything that is not a plan, kTooLarge.
KeepPlan parse_keep_plan(std::string_view text, std::string_view id, std::string_view what);

// Kept expert ids by layer index (none for layers without experts), ascending: the order in which an artifact stores them.
using KeptExperts = std::vector<std::vector<uint32_t>>;

// Throws Error{kInvalidRequest} naming the layer when the plan does not fit the model: another number of layers, an id that the
// layer does not have or twice, fewer experts than a token chooses.
KeptExperts resolve_keep_plan(const KeepPlan& plan, const ModelConfig& config);

// "k96" where all layers keep 96, else "avgk96.5", for the names of artifacts.
std::string kept_label(const KeptExperts& kept);

}  // namespace mach
