// The arithmetic of attention on one tile: some consecutive tokens of a sequence under one KV head. A lane is
// one query head of one token; the lanes of a tile share each block of keys while it is in a near cache. A span
// (1024 positions) is summed by a running softmax over blocks of 64, spans are merged in ascending order. Both
// lie at absolute positions, so a lane's result does not depend on how tokens are grouped into chunks and tiles.
// A block is summed either in fp32 in one fixed order (exact mode, and what the fast kernels do not take) or by
// the kernel set's attention kernels (fast mode, attention_fast.cpp), which take many more lanes at once.
// For attention.cpp; all functions are const and may run on several tiles at once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/compute.h"
#include "model/blocks/attention.h"
#include "model/caches/kv_rows.h"
#include "model/float_rows.h"

namespace mach {

struct AttentionTile {
  const AttentionSequence* sequence = nullptr;
  std::span<const KvRun> runs;  // cover every position that the tile sees, ascending
  uint32_t first_token = 0;     // in the sequence's rows
  uint32_t tokens = 0;
  uint32_t kv_head = 0;
  uint32_t first_span = 0;  // number of a span: position / kSpanKeys
  uint32_t span_count = 0;
};

// The sums of some lanes over some keys: the largest score m, l = sum of exp(s - m), acc = sum of exp(s - m) v.
// A view of floats() floats laid out m | l | acc [lanes][dim], lanes padded as kernels want them.
struct SoftmaxSums {
  float* m;
  float* l;
  float* acc;

  static size_t floats(uint32_t lanes, uint32_t dim) noexcept {
    return size_t{kernel::padded_lanes(lanes)} * (dim + 2);
  }
  SoftmaxSums(float* memory, uint32_t lanes) noexcept
      : m(memory),
        l(memory + kernel::padded_lanes(lanes)),
        acc(memory + 2 * size_t{kernel::padded_lanes(lanes)}) {}
};

// The attention kernels for rows of this kind, or null where attention is computed in fp32 (exact mode, fp32 rows, odd
// sizes; never for 8-bit rows in fast mode).
const kernel::AttentionKernels* fast_attention(const KernelSet& kernels, Numerics numerics, KvElement element,
                                               uint32_t head_dim) noexcept;

class TileAttention {
 public:
  static constexpr uint32_t kBlockKeys = kernel::kAttentionKeys;
  static constexpr uint32_t kSpanKeys = 1024;

  struct Range {
    uint32_t begin = 0, end = 0;
    bool operator==(const Range&) const = default;
  };

  // `most_rows`: of any sequence. 8-bit rows are for fast mode only.
  TileAttention(const KernelSet& kernels, Numerics numerics, const AttentionShape& shape, const KvShape& kv,
                uint32_t most_rows, const FloatRows& q, const FloatRows& out) noexcept;

  uint32_t tile_tokens() const noexcept { return tile_tokens_; }          // at most, per tile
  uint32_t tile_lanes() const noexcept { return tile_tokens_ * group_; }  // at most
  size_t sums_floats() const noexcept { return SoftmaxSums::floats(tile_lanes(), kv_.head_dim); }
  size_t scratch_floats() const noexcept;  // of sum_span

  // Positions that some query of the tokens [first, first + count) sees.
  Range visible(const AttentionSequence& sequence, uint32_t first, uint32_t count) const noexcept;

  // sums = those over the visible keys of span number `span`.
  void sum_span(const AttentionTile& tile, uint32_t span, float* scratch,
                const SoftmaxSums& sums) const noexcept;

  void clear(const AttentionTile& tile, const SoftmaxSums& sums) const noexcept;

  // total = total and `part`, which covers later keys.
  void merge(const AttentionTile& tile, const SoftmaxSums& total, const SoftmaxSums& part) const noexcept;

  // Writes the tile's rows of `out`: acc / l, with the sinks' share in l.
  void finish(const AttentionTile& tile, const SoftmaxSums& total) const noexcept;

 private:
  template <class Body>
  void for_pieces(const AttentionTile& tile, Range range, Body body) const noexcept;
  Range seen_in(const AttentionTile& tile, uint32_t token, Range keys) const noexcept;
  void query_rows(const AttentionTile& tile, const float** rows) const noexcept;
  template <class AddBlock>
  void for_blocks(const AttentionTile& tile, uint32_t span, AddBlock add_block) const noexcept;

  // attention_fast.cpp
  struct FastScratch;
  size_t fast_scratch_floats() const noexcept;
  void sum_span_fast(const AttentionTile& tile, uint32_t span, float* memory,
                     const SoftmaxSums& sums) const noexcept;
  void add_block_fast(const AttentionTile& tile, Range keys, const FastScratch& scratch,
                      const SoftmaxSums& sums) const noexcept;
  void add_block(const AttentionTile& tile, uint32_t block, Range keys, const float* const* queries,
                 float* scores, const SoftmaxSums& sums) const noexcept;
  void add_lanes(const AttentionTile& tile, uint32_t block, Range range, uint32_t first_lane, uint32_t lanes,
                 float* scores, const SoftmaxSums& sums) const noexcept;
  void add_scores(std::span<float> scores, uint32_t lane, const SoftmaxSums& sums) const noexcept;
  uint32_t lanes_of(const AttentionTile& tile) const noexcept { return tile.tokens * group_; }
  float* acc(const SoftmaxSums& sums, uint32_t lane) const noexcept {
    return sums.acc + size_t{lane} * kv_.head_dim;
  }

  const KernelSet& kernels_;
  const AttentionShape shape_;
  const KvShape kv_;
  const uint32_t group_;                        // query heads per KV head
  const kernel::AttentionKernels* const fast_;  // null: in fp32
  const uint32_t tile_tokens_;
  kernel::DotRows* const dot_rows_;  // in fp32
  kernel::MixRows* const mix_rows_;
  const FloatRows q_;
  const FloatRows out_;
};

// Calls body(rows of K, rows of V, first position) for each stored piece of `range`.
template <class Body>
void TileAttention::for_pieces(const AttentionTile& tile, Range range, Body body) const noexcept {
  const size_t stride = kv_.head_bytes();
  auto run = std::partition_point(tile.runs.begin(), tile.runs.end(),
                                  [&](const KvRun& r) { return r.begin + r.count <= range.begin; });
  for (uint32_t position = range.begin; position < range.end; ++run) {
    const uint32_t count = std::min(range.end, run->begin + run->count) - position;
    const size_t first = (size_t{tile.kv_head} * run->head_stride + (position - run->begin)) * stride;
    body(kernel::Rows{run->k + first, stride, count}, kernel::Rows{run->v + first, stride, count}, position);
    position += count;
  }
}

// Calls add_block(start of the block, the part of it that the tile sees) for each block of a span.
template <class AddBlock>
void TileAttention::for_blocks(const AttentionTile& tile, uint32_t span, AddBlock add_block) const noexcept {
  const Range seen = visible(*tile.sequence, tile.first_token, tile.tokens);
  const uint32_t begin = std::max(seen.begin, span * kSpanKeys);
  const uint32_t end = std::min(seen.end, (span + 1) * kSpanKeys);
  for (uint32_t block = begin / kBlockKeys * kBlockKeys; block < end; block += kBlockKeys)
    add_block(block, Range{std::max(begin, block), std::min(end, block + kBlockKeys)});
}

}  // namespace mach
