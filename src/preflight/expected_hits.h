// How often a bank that holds a share of the routed experts already has the one that is asked for. Measured curves of other
// engines, read off at the share and drawn through as straight lines; a run's own counters replace it.
//
// Points (share -> hits): 6 % -> 40 %, 12 % -> 62 %, 24 % -> 84 %, 48 % -> 94 % (recency with frequency: WASTE on
// Kimi-Linear-48B; within 3 points of BigMoeOnEdge on Qwen3.6-35B-A3B, 14 % -> 65 % and 25 % -> 84 %, and of the LRU
// replays in llama.cpp #27861, 12.5 % -> 67 % and 25 % -> 81 %). Below a token's working set nothing is hit.
#pragma once

namespace mach {

// share in [0, 1], of all routed experts; result in [0, 1].
double expected_hit_rate(double share) noexcept;

// The least that any policy gets: experts chosen evenly at random.
constexpr double even_hit_rate(double share) noexcept {
  return share < 0.0 ? 0.0 : share > 1.0 ? 1.0 : share;
}

}  // namespace mach
