// Predicts the routed experts of the next layer: its norm and router, applied to the residual stream one layer early, find
// most of them, because one layer changes the stream little. Only a hint to the provider, and only while that asks for
// hints: results never depend on it.
#pragma once

#include <cstdint>

#include "experts/expert_provider.h"
#include "model/blocks/linear.h"
#include "model/blocks/norm.h"
#include "model/float_rows.h"

namespace mach {

class Workspace;

struct NextRouter {
  ExpertProvider* provider = nullptr;
  uint32_t layer = 0;  // the next one, by the provider's name
  const RmsNorm* norm = nullptr;
  const Linear* router = nullptr;  // [experts, hidden]; its largest logits are its choice
  uint32_t top_k = 0;
};

// h [rows, hidden]: the stream behind the layer before. Does nothing for more than a few rows.
void guess_experts(Workspace& workspace, const NextRouter& next, const FloatRows& h);

}  // namespace mach
