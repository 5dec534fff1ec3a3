// How the routed experts are held and what reading them has cost so far, as the API shows it.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "experts/expert_counters.h"

namespace mach::server {

// Whether experts are read past the page cache (O_DIRECT).
bool reads_directly(const ExpertStatus& status);

// `streaming_summary` of GET /v1/cache/stats. A resident model has zeros and direct_pread.mode "none".
nlohmann::ordered_json expert_summary(const ExpertStatus& status);

}  // namespace mach::server
