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

class Workspace;

struct Head {
  RmsNorm norm;
  Linear projection;             // [vocab, hidden]
  std::optional<float> softcap;  // logits = c * tanh(logits / c)
};

// Copies the given rows of x into the arena.
FloatRows gather_rows(Workspace& workspace, const FloatRows& x, std::span<const uint32_t> rows);

// logits [x.count * vocab] = head(x), with x the wanted rows after the last layer, normed in place.
// `observer_index`: under which the normed rows are shown to the workspace's observer (layers + 1).
void compute_logits(Workspace& workspace, const Head& head, const FloatRows& x, uint32_t observer_index,
                    std::span<float> logits);

}  // namespace mach
