// The registry as JSON: what `mach-archs --json` prints and GET /v1/capabilities embeds.
//   {"<model_type>": {"swiglu", "stacked", "expert_bias", "wrapped", "bits", "group", "model_module",
//                     "kv_cache_kind", "specdec_kind" (or null), "continuous_batching"}, ...}
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace mach {

nlohmann::ordered_json arch_summary();

}  // namespace mach
