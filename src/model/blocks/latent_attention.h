// Attention over latent rows that are key and value at once, shared by all heads: the rows of the window and a set of
// compressed entries, which differs from query to query. One softmax over both, with a sink logit per head. A result
// depends on its query and the rows it sees, in ascending order, never on chunking, batch or threads.
#pragma once

#include <cstdint>
#include <span>

#include "model/caches/compressed_kv.h"
#include "model/float_rows.h"

namespace mach {

class Pass;
class Workspace;

struct LatentShape {
  uint32_t heads = 0;
  uint32_t head_dim = 0;
  uint32_t window = 0;
  float scale = 1.0F;
  std::span<const float> sinks;  // [heads]
};

// The entries that each row of the pass attends to, ascending. A row without a list sees all entries closed by then.
struct ChosenEntries {
  std::span<const std::span<const uint32_t>> of_row;  // [rows]; empty span = no lists at all
};

// out = softmax(scale * q kv^T, sinks) kv per head.  q, out [rows, heads * head_dim]; may be the same rows.
void attend_latent(Workspace& workspace, const LatentShape& shape, const Pass& pass, size_t cache_index,
                   const ChosenEntries& chosen, const FloatRows& q, const FloatRows& out);

}  // namespace mach
