#include "engine/serving/step_plan.h"

#include <algorithm>

namespace mach {

std::vector<uint32_t> plan_step(std::span<const StepDemand> demands, const StepLimits& limits) {
  std::vector<uint32_t> counts(demands.size(), 0);
  uint32_t budget = limits.prefill_chunk;
  size_t hungry = 0;
  for (size_t i = 0; i < demands.size(); ++i) {
    if (demands[i].generating) {
      counts[i] = demands[i].tokens;
      budget = std::min(budget, limits.interleaved_chunk);
    } else {
      hungry += demands[i].tokens > 0 ? 1 : 0;
    }
  }
  // Each round satisfies somebody or spends the budget: what short prompts leave goes to the others.
  while (budget > 0 && hungry > 0) {
    const auto share = std::max(budget / static_cast<uint32_t>(hungry), 1U);
    hungry = 0;
    for (size_t i = 0; i < demands.size(); ++i) {
      if (demands[i].generating) continue;
      const uint32_t more = std::min({share, demands[i].tokens - counts[i], budget});
      counts[i] += more;
      budget -= more;
      hungry += counts[i] < demands[i].tokens ? 1 : 0;
    }
  }
  return counts;
}

}  // namespace mach
