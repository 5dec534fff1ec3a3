// Where the routed experts of one layer lie, for every layout that checkpoints use.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "arch/model_config.h"
#include "arch/tensor_lookup.h"
#include "arch/tensor_plan.h"

namespace mach {

struct FoundExperts {
  ExpertLayerPlan plan;
  ExpertLayout layout = ExpertLayout::kStacked;
};

// `bases` are the full module paths that may hold the experts ("model.layers.3.mlp"); `in_out` as in
// ParameterList::fused_experts_in_out. Empty if no layout is there; throws as TensorLookup does if one is there and
// incomplete or wrong.
std::optional<FoundExperts> find_experts(const ModelConfig& config, uint32_t layer, bool in_out,
                                         const std::vector<std::string>& bases, TensorLookup& lookup);

}  // namespace mach
