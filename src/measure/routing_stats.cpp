#include "measure/routing_stats.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace mach::measure {

RoutingStats::RoutingStats(uint32_t layers, uint32_t experts) : experts_(experts), layers_(layers) {
  for (Layer& layer : layers_) {
    layer.choices.resize(experts);
    layer.last_pass.resize(experts);
  }
}

void RoutingStats::count(uint32_t layer_index, std::span<const uint32_t> chosen, uint32_t top_k) {
  Layer& layer = layers_[layer_index];
  top_k_ = top_k;
  ++layer.passes;
  for (const uint32_t e : chosen) {
    ++layer.choices[e];
    if (layer.last_pass[e] == layer.passes) continue;
    ++layer.distinct;
    if (layer.passes > 1) {
      ++layer.followed;
      layer.repeated += layer.last_pass[e] == layer.passes - 1 ? 1 : 0;
    }
    layer.last_pass[e] = layer.passes;
  }
}

RoutingSummary RoutingStats::summary() const {
  RoutingSummary sum{.experts = experts_, .top_k = top_k_};
  for (const Layer& layer : layers_) {
    const double total =
        static_cast<double>(std::accumulate(layer.choices.begin(), layer.choices.end(), uint64_t{0}));
    if (total == 0) continue;
    ++sum.layers;
    sum.pass_experts += static_cast<double>(layer.distinct) / static_cast<double>(layer.passes);
    sum.repeated +=
        layer.followed > 0 ? static_cast<double>(layer.repeated) / static_cast<double>(layer.followed) : 0;
    double entropy = 0, used = 0, largest = 0;
    for (const uint64_t n : layer.choices) {
      if (n == 0) continue;
      const double p = static_cast<double>(n) / total;
      entropy -= p * std::log(p);
      used += 1;
      largest = std::max(largest, p);
    }
    sum.entropy += experts_ > 1 ? entropy / std::log(experts_) : 1;
    sum.used += used / experts_;
    sum.largest_share += largest;
  }
  const double n = std::max(1U, sum.layers);
  for (double* mean : {&sum.pass_experts, &sum.used, &sum.entropy, &sum.largest_share, &sum.repeated})
    *mean /= n;
  return sum;
}

}  // namespace mach::measure
