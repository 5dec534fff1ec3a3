// Pools every `ratio` tokens into one entry: a softmax over the window's tokens, per channel, of learned gates weighs
// their contents; then a norm and a rotation at the position of the window's first token. With overlap a token's
// projection has two halves, the first for the entry of the next window, the second for its own. fp32 in both numeric
// modes. Source: Hugging Face transformers 5.17, modeling_deepseek_v4.py.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "model/blocks/linear.h"
#include "model/blocks/norm.h"
#include "model/blocks/rope.h"
#include "model/caches/compressed_kv.h"

namespace mach {

class Pass;
class Workspace;

struct Compressor {
  PoolShape shape;
  Linear content, gate;                  // [width, hidden]
  std::span<const float> position_bias;  // [ratio, width], added to the gate of position p at row p mod ratio
  RmsNorm norm;                          // [dim]
  const Rope* rope = nullptr;
};

// What is done to an entry before it is stored (a quantisation round trip); empty = nothing.
using EntryFilter = std::function<void(std::span<float> entry)>;

// Projects the rows x of the pass and closes the windows that they complete, in the pool of each sequence's cache at
// `cache_index`; `pool` picks it. The raw rows live in the arena's current frame, until CompressedKv::seal().
void extend_entries(Workspace& workspace, const Compressor& compressor, const Pass& pass, size_t cache_index,
                    EntryPool* (CompressedKv::*pool)(), const Activations& x, const EntryFilter& filter = {});

}  // namespace mach
