// The routed experts of one layer over the rows of a pass. Token-expert pairs are sorted by expert, so each
// chosen expert is acquired once and multiplies all its tokens; gate and up of all of them run in one parallel
// region, their down matrices in a second. Where the provider cannot hold all chosen experts together the
// layer works in waves of as many as it can. A token's outputs are summed in the order of its experts, so the
// result does not depend on waves, batch or threads.
#pragma once

#include <cstdint>

#include "experts/expert_provider.h"
#include "kernels/kernel_types.h"
#include "model/blocks/linear.h"
#include "model/blocks/router.h"
#include "model/float_rows.h"

namespace mach {

class Workspace;

struct RoutedExperts {
  ExpertProvider* provider = nullptr;
  uint32_t layer = 0;         // the provider's name for it
  uint32_t expert_count = 0;  // of the layer; routing ids are below it
  uint32_t intermediate = 0;
  kernel::GateParameters activation;
  // Above 0: the input of the down matrices, of the shared expert too, is rounded to FP8 in blocks of so many values
  // (DeepSeek V4's official round trips).
  uint32_t fp8_input_block = 0;
};

// A gated MLP with the same input and activation that rides in the same parallel regions: a shared expert. Its
// output is not added to the routed experts'; the graph does that (with a gate, say).
struct SharedExpert {
  const GatedMlp* mlp = nullptr;
  FloatRows out;  // [rows, hidden]
};

// out[t] = sum over k of routing.weights[t][k] * expert_k(x[t]).  x [rows, hidden], out [rows, hidden].
// Throws what ExpertProvider::acquire throws.
void run_experts(Workspace& workspace, const RoutedExperts& experts, const Activations& x,
                 const Routing& routing, const FloatRows& out, const SharedExpert* shared = nullptr);

}  // namespace mach
