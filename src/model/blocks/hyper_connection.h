// Hyper-connections: several residual streams per token, mixed before and after each sublayer with weights that depend on
// the streams themselves. All arithmetic is fp32 in both numeric modes. Streams of a token lie one after another:
// X [rows, streams * hidden]. Source: "mHC: Manifold-Constrained Hyper-Connections" (arXiv 2512.24880); Hugging Face
// transformers 5.17, modeling_deepseek_v4.py.
#pragma once

#include <cstdint>
#include <span>

#include "model/blocks/linear.h"
#include "model/blocks/norm.h"
#include "model/float_rows.h"

namespace mach {

class Workspace;

struct HyperConnectionShape {
  uint32_t streams = 0;
  uint32_t hidden = 0;
  uint32_t sinkhorn_iterations = 0;
  float norm_eps = 0.0F;
  float eps = 0.0F;  // hc_eps

  uint32_t weight_count() const noexcept { return streams * (streams + 2); }
};

// Of one sublayer: fn [weight_count, streams * hidden], base [weight_count], scale [3] (pre, post, comb).
struct HyperConnection {
  Linear fn;
  std::span<const float> base, scale;
};

// What a sublayer's output needs to go back into the streams.
struct StreamMix {
  FloatRows post;  // [rows, streams] share of the output that each stream gets
  FloatRows comb;  // [rows, streams * streams] [from][to], nearly doubly stochastic
};

// The sublayer's input [rows, hidden] = sum of pre_j X_j, in the arena, and the weights for mix_streams().
struct StreamInput {
  FloatRows x;
  StreamMix mix;
};
StreamInput collapse_streams(Workspace& workspace, const HyperConnectionShape& shape,
                             const HyperConnection& connection, const FloatRows& streams);

// X_k = post_k * out + sum over j of comb[j][k] X_j, in place.
void mix_streams(Workspace& workspace, const HyperConnectionShape& shape, const StreamMix& mix,
                 const FloatRows& out, const FloatRows& streams);

// The head's collapse: fn [streams, streams * hidden], base [streams], scale [1]; no mixing matrix.
FloatRows collapse_for_head(Workspace& workspace, const HyperConnectionShape& shape,
                            const HyperConnection& connection, const FloatRows& streams);

}  // namespace mach
