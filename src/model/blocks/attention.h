// Causal attention of a pass over the keys and values of one layer: grouped KV heads, optional window, optional
// sink logit per head, softmax in fp32. Works for a prompt chunk (tiles of tokens share each block of keys) and
// for decode over a long past (the past is split among threads).
//
// A result depends on its query, its position and the keys it sees, never on chunking, batch or threads: keys
// are taken in blocks of 64 and spans of 1024 at absolute positions; a span is summed by a running softmax, and
// spans are merged in ascending order whether one thread computed them or many.
#pragma once

#include <cstdint>
#include <span>

#include "model/caches/kv_cache.h"
#include "model/float_rows.h"

namespace mach {

class Pass;
class Workspace;

struct AttentionShape {
  uint32_t heads = 0;            // query heads; a multiple of the cache's KV heads
  float scale = 1.0F;            // of q . k
  uint32_t window = 0;           // visible positions, the query's own included; 0 = no limit
  std::span<const float> sinks;  // [heads], a logit without a value; empty = none
};

// The KV of one sequence. A layer that shares another layer's KV passes that layer's cache.
struct AttentionSequence {
  KvCache* cache = nullptr;
  uint32_t first_row = 0;  // of q and out
  uint32_t rows = 0;
  uint32_t position = 0;  // of the first row
};

// The sequences of a pass with the cache that layer `layer` of their states holds. Lives as long as the pass's
// arena frame.
std::span<const AttentionSequence> attention_sequences(Workspace& workspace, const Pass& pass, size_t layer);

// Stages this pass's tokens in each cache and writes their rows. k, v [rows, kv_heads * head_dim].
void store_kv(Workspace& workspace, std::span<const AttentionSequence> sequences, const FloatRows& k,
              const FloatRows& v);

// out = softmax(scale * q k^T, sinks) v per head.  q, out [rows, heads * head_dim]; head h reads KV head
// h / (heads / kv_heads). Every position up to the row's own must be committed or staged. out may be q.
void attend(Workspace& workspace, const AttentionShape& shape, std::span<const AttentionSequence> sequences,
            const FloatRows& q, const FloatRows& out);

}  // namespace mach
