// Rows of the embedding table, decoded to fp32 whatever their codec.
#pragma once

#include <cstdint>
#include <span>

#include "model/float_rows.h"
#include "quant/weight.h"

namespace mach {

class Workspace;

// out[t] = scale * table[tokens[t]].  table [vocab, dim]; every token is below vocab.
void embed(Workspace& workspace, const WeightMatrix& table, std::span<const int32_t> tokens, float scale,
           const FloatRows& out);

}  // namespace mach
