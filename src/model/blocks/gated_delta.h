// The gated delta rule: what mixes tokens in a Gated DeltaNet layer, from the projections to the head outputs before
// their norm. Two forms of the same recurrence: token by token, and by chunks as small matrix products; the chunked form
// differs in rounding, so exact mode never takes it. Source: "Gated Delta Networks" (arXiv 2412.06464); Hugging Face
// transformers 5.17, modeling_qwen3_5_moe.py.
#pragma once

#include <cstdint>
#include <span>

#include "model/caches/delta_state.h"
#include "model/float_rows.h"

namespace mach {

class Pass;
class Workspace;

// The small parameters of a layer.
struct GatedDelta {
  DeltaShape shape;
  std::span<const float> conv;     // [taps, channels]: conv[taps - 1] weighs the current token
  std::span<const float> a_log;    // [value_heads]
  std::span<const float> dt_bias;  // [value_heads]
};

// Everything per token: qkv [rows, channels] before the convolution (overwritten), a and b [rows, value_heads].
// out [rows, value_heads * value_dim]. Stages the pass's tokens in the DeltaState of each sequence.
void gated_delta(Workspace& workspace, const GatedDelta& layer, const Pass& pass, size_t cache_index,
                 bool exact, const FloatRows& qkv, const FloatRows& a, const FloatRows& b,
                 const FloatRows& out);

}  // namespace mach
