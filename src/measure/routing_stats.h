// Counts which experts the tokens of a run go to, to tell whether a measurement stands for real text: a model of random
// weights that sends all tokens to a few experts reads far fewer bytes than it should. Single owner.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mach::measure {

struct RoutingSummary {
  uint32_t layers = 0;   // MoE layers seen
  uint32_t experts = 0;  // of a layer
  uint32_t top_k = 0;
  double pass_experts = 0;   // distinct experts of a layer in one pass, mean
  double used = 0;           // share of a layer's experts that were chosen at all, mean over layers
  double entropy = 0;        // of the choices, 1: uniform over all experts, 0: one expert; mean over layers
  double largest_share = 0;  // of the choices that the most popular expert of a layer gets, mean over layers
  double repeated = 0;       // share of a pass's experts that the layer used in the pass before, too
};

class RoutingStats {
 public:
  RoutingStats(uint32_t layers, uint32_t experts);

  // The choices of one layer in one pass: top_k ids per token.
  void count(uint32_t layer, std::span<const uint32_t> chosen, uint32_t top_k);
  RoutingSummary summary() const;

 private:
  struct Layer {
    std::vector<uint64_t> choices;
    std::vector<uint64_t> last_pass;  // number of the last pass that chose the expert, from 1
    uint64_t passes = 0, distinct = 0, repeated = 0, followed = 0;
  };
  uint32_t experts_;
  uint32_t top_k_ = 0;
  std::vector<Layer> layers_;
};

}  // namespace mach::measure
