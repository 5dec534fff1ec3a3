// From the last layer to logits, for the wanted rows only: final norm, the head's product (its weight may be
// the embedding table), and the soft cap where a family has one.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "model/blocks/linear.h"
#include "model/blocks/norm.h"
#include "model/float_rows.h"

namespace mach {

class Pass;
class Workspace;

struct Head {
  RmsNorm norm;
  Linear projection;             // [vocab, hidden]
  std::optional<float> softcap;  // logits = c * tanh(logits / c)
  // The matrix as the file has it, where the projection may hold it in 8 bits. Then the largest logits of a row, 32 or a few more,
  // are computed once more from these rows in fp32: among them the choice is made, and nearly all of the probability is theirs.
  WeightMatrix stored = {};
};

// Copies the given rows of x into the arena.
FloatRows gather_rows(Workspace& workspace, const FloatRows& x, std::span<const uint32_t> rows);

// In the last layer, after its mixer: from here on only rows whose logits are wanted are of use. Their part of the
// mixer's output and of the residual stream replaces both; the stream goes to `wanted` [wanted_count, hidden].
void keep_wanted(Workspace& workspace, const Pass& pass, FloatRows& mixed, FloatRows& h,
                 const FloatRows& wanted);

// logits [x.count * vocab] = head(x), with x the wanted rows after the last layer, normed in place.
// `observer_index`: under which the normed rows are shown to the workspace's observer (layers + 1).
void compute_logits(Workspace& workspace, const Head& head, const FloatRows& x, uint32_t observer_index,
                    std::span<float> logits);

}  // namespace mach
