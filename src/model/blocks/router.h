// Which experts a token goes to, and how much each counts. Router arithmetic is fp32 in both numeric modes. Of
// equal scores the smaller expert id wins; a NaN loses against every number, so that the ids are valid and
// distinct whatever the logits are.
#pragma once

#include <cstdint>
#include <span>

#include "model/float_rows.h"

namespace mach {

class Workspace;

// Row t holds token t's top_k experts, the best first.
struct Routing {
  std::span<uint32_t> experts;  // [rows * top_k]
  FloatRows weights;            // [rows, top_k]

  uint32_t rows() const noexcept { return weights.count; }
  uint32_t top_k() const noexcept { return weights.dim; }
  std::span<uint32_t> experts_of(uint32_t row) const noexcept {
    return experts.subspan(size_t{row} * weights.dim, weights.dim);
  }
};

// Uninitialised, in the arena.
Routing new_routing(Workspace& workspace, uint32_t rows, uint32_t top_k);

// The indices of the chosen.size() largest scores, largest first. chosen.size() <= scores.size().
void select_top_k(std::span<const float> scores, std::span<uint32_t> chosen) noexcept;

// p = softmax(logits) over all experts, the top k of p; `renormalize` divides their weights by their sum.
// logits [rows, experts] are overwritten.
Routing softmax_top_k(Workspace& workspace, const FloatRows& logits, uint32_t top_k, bool renormalize);

// The top k logits, then a softmax over those alone (gpt-oss).
Routing top_k_softmax(Workspace& workspace, const FloatRows& logits, uint32_t top_k);

// DeepSeek V4: score = sqrt(softplus(logit)); the top k of score + bias (`bias` [experts], for the choice only), or, where
// `chosen` is not empty, the experts it lists [rows * top_k]; weights = scale * score / sum of the chosen scores.
// logits [rows, experts] are overwritten.
Routing sqrt_softplus_top_k(Workspace& workspace, const FloatRows& logits, uint32_t top_k,
                            std::span<const float> bias, std::span<const uint32_t> chosen, float scale);

}  // namespace mach
