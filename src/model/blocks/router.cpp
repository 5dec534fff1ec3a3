#include "model/blocks/router.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/workspace.h"

namespace mach {

Routing new_routing(Workspace& workspace, uint32_t rows, uint32_t top_k) {
  return {.experts = workspace.arena().take<uint32_t>(size_t{rows} * top_k),
          .weights = workspace.rows(rows, top_k)};
}

void select_top_k(std::span<const float> scores, std::span<uint32_t> chosen) noexcept {
  // Insertion into a sorted list: most scores fail its first test.
  const auto rank_of = [&](uint32_t i) {
    return std::isnan(scores[i]) ? -std::numeric_limits<float>::infinity() : scores[i];
  };
  size_t count = 0;
  for (uint32_t i = 0; i < scores.size(); ++i) {
    const float score = rank_of(i);
    if (count == chosen.size() && !(score > rank_of(chosen[count - 1]))) continue;
    if (count < chosen.size()) ++count;
    size_t slot = count - 1;
    while (slot > 0 && score > rank_of(chosen[slot - 1])) {
      chosen[slot] = chosen[slot - 1];
      --slot;
    }
    chosen[slot] = i;
  }
}

Routing softmax_top_k(Workspace& workspace, const FloatRows& logits, uint32_t top_k, bool renormalize) {
  const Routing routing = new_routing(workspace, logits.count, top_k);
  const KernelSet& kernels = workspace.kernels();
  workspace.for_rows(logits.count, 16 * size_t{logits.dim}, [&](uint32_t row) {
    const auto chosen = routing.experts_of(row);
    const auto weights = routing.weights.row_span(row);
    select_top_k(logits.row_span(row), chosen);
    kernels.softmax(nullptr, logits.dim, logits.row(row));
    float sum = 0.0F;
    for (uint32_t k = 0; k < top_k; ++k) {
      weights[k] = logits.row(row)[chosen[k]];
      sum += weights[k];
    }
    if (!renormalize) return;
    for (float& weight : weights) weight /= sum;
  });
  return routing;
}

Routing top_k_softmax(Workspace& workspace, const FloatRows& logits, uint32_t top_k) {
  const Routing routing = new_routing(workspace, logits.count, top_k);
  const KernelSet& kernels = workspace.kernels();
  workspace.for_rows(logits.count, 8 * size_t{logits.dim}, [&](uint32_t row) {
    const auto chosen = routing.experts_of(row);
    select_top_k(logits.row_span(row), chosen);
    for (uint32_t k = 0; k < top_k; ++k) routing.weights.row(row)[k] = logits.row(row)[chosen[k]];
    kernels.softmax(nullptr, top_k, routing.weights.row(row));
  });
  return routing;
}

Routing sqrt_softplus_top_k(Workspace& workspace, const FloatRows& logits, uint32_t top_k,
                            std::span<const float> bias, std::span<const uint32_t> chosen, float scale) {
  const Routing routing = new_routing(workspace, logits.count, top_k);
  const FloatRows biased = workspace.rows(logits.count, bias.empty() ? 0 : logits.dim);
  workspace.for_rows(logits.count, 32 * size_t{logits.dim}, [&](uint32_t row) {
    const auto scores = logits.row_span(row);
    for (float& score : scores) score = std::sqrt(score > 20.0F ? score : std::log1p(std::exp(score)));
    const auto experts = routing.experts_of(row);
    if (!chosen.empty()) {
      std::copy_n(&chosen[size_t{row} * top_k], top_k, experts.begin());
    } else {
      for (size_t e = 0; e < scores.size(); ++e) biased.row(row)[e] = scores[e] + bias[e];
      select_top_k(biased.row_span(row), experts);
    }
    float sum = 1e-20F;
    for (const uint32_t expert : experts) sum += scores[expert];
    for (uint32_t k = 0; k < top_k; ++k) routing.weights.row(row)[k] = scale * scores[experts[k]] / sum;
  });
  return routing;
}

}  // namespace mach
