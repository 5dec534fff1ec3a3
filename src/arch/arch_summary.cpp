#include "arch/arch_summary.h"

#include <map>
#include <string>

#include <nlohmann/json.hpp>

#include "arch/registry.h"
#include "arch/serving_paths.h"

namespace mach {

nlohmann::ordered_json arch_summary() {
  std::map<std::string, nlohmann::ordered_json> sorted;
  for (const ArchRow& row : arch_rows()) {
    nlohmann::ordered_json facts;
    facts["swiglu"] = row.swiglu;
    facts["stacked"] = row.stacked;
    facts["expert_bias"] = row.expert_bias;
    facts["wrapped"] = row.wrapped;
    facts["bits"] = row.default_bits;
    facts["group"] = row.default_group;
    facts["model_module"] = row.model_module;
    facts["kv_cache_kind"] = kv_cache_kind_name(row.kv_cache_kind);
    facts["specdec_kind"] =
        row.specdec_kind.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(row.specdec_kind);
    facts["continuous_batching"] = batches(row.kv_cache_kind);
    sorted.emplace(row.model_type, std::move(facts));
  }
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (auto& [type, facts] : sorted) out[type] = std::move(facts);
  return out;
}

}  // namespace mach
