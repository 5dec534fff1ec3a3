// Blocks of keys by the attention kernels of the kernel set. A block is normally one piece of a cache and is read in place;
// where it is not (the seam of a ring, between past and pass, or a window that begins at an odd position, which would pair
// keys differently than other tiles do) its rows are gathered first.
#include <cstring>

#include "base/scratch_layout.h"
#include "model/blocks/attention_tile.h"

namespace mach {

struct TileAttention::FastScratch {
  std::byte* queries;  // packed
  std::byte* kernel;
  std::byte* k;  // gathered rows
  std::byte* v;
  int32_t* begin;  // [padded lanes]: what each sees of a block
  int32_t* end;
  const float** rows;  // [lanes]: the queries
  size_t bytes;

  FastScratch(std::byte* memory, uint32_t lanes, const KvShape& kv) noexcept {
    ScratchLayout layout(memory);
    const size_t padded = kernel::padded_lanes(lanes);
    queries = layout.take<std::byte>(kernel::packed_query_bytes(lanes, kv.head_dim));
    kernel = layout.take<std::byte>(kernel::attention_scratch_bytes(kv.head_dim));
    k = layout.take<std::byte>(kBlockKeys * kv.head_bytes());
    v = layout.take<std::byte>(kBlockKeys * kv.head_bytes());
    begin = layout.take<int32_t>(padded);
    end = layout.take<int32_t>(padded);
    rows = layout.take<const float*>(lanes);
    bytes = layout.bytes();
  }
};

size_t TileAttention::fast_scratch_floats() const noexcept {
  return FastScratch(nullptr, tile_lanes(), kv_).bytes / sizeof(float);
}

void TileAttention::sum_span_fast(const AttentionTile& tile, uint32_t span, float* memory,
                                  const SoftmaxSums& sums) const noexcept {
  const FastScratch scratch(reinterpret_cast<std::byte*>(memory), tile_lanes(), kv_);
  query_rows(tile, scratch.rows);
  fast_->pack(scratch.rows, lanes_of(tile), kv_.head_dim, shape_.scale, scratch.queries);
  for_blocks(tile, span, [&](uint32_t, Range keys) { add_block_fast(tile, keys, scratch, sums); });
}

void TileAttention::add_block_fast(const AttentionTile& tile, Range keys, const FastScratch& scratch,
                                   const SoftmaxSums& sums) const noexcept {
  const size_t stride = kv_.head_bytes();
  kernel::AttentionJob job{.lanes = lanes_of(tile),
                           .dim = kv_.head_dim,
                           .queries = scratch.queries,
                           .k = nullptr,
                           .v = nullptr,
                           .stride = stride,
                           .count = keys.end - keys.begin,
                           .next_v = nullptr,
                           .begin = nullptr,
                           .end = nullptr,
                           .m = sums.m,
                           .l = sums.l,
                           .acc = sums.acc,
                           .scratch = scratch.kernel};

  uint32_t pieces = 0;
  for_pieces(tile, keys, [&](const kernel::Rows& k, const kernel::Rows& v, uint32_t) {
    job.k = k.data;
    job.v = v.data;
    ++pieces;
  });
  const uint32_t first = keys.begin / 2 * 2;  // a pair of keys begins at an even position
  if (pieces > 1 || first != keys.begin) {
    if (first != keys.begin) {  // a row that nobody sees
      std::memset(scratch.k, 0, stride);
      std::memset(scratch.v, 0, stride);
    }
    for_pieces(tile, keys, [&](const kernel::Rows& k, const kernel::Rows& v, uint32_t position) {
      std::memcpy(scratch.k + (position - first) * stride, k.data, k.count * stride);
      std::memcpy(scratch.v + (position - first) * stride, v.data, v.count * stride);
    });
    job.k = scratch.k;
    job.v = scratch.v;
    job.count = keys.end - first;
  }

  if (keys.end < tile.runs.back().begin + tile.runs.back().count) {
    for_pieces(tile, {keys.end, keys.end + 1},
               [&](const kernel::Rows&, const kernel::Rows& v, uint32_t) { job.next_v = v.data; });
  }

  // The first token sees the least of the end, the last one the least of the beginning.
  const Range whole{first, keys.end};
  if (seen_in(tile, 0, whole) != whole || seen_in(tile, tile.tokens - 1, whole) != whole ||
      first != keys.begin) {
    uint32_t lane = 0;
    for (uint32_t token = 0; token < tile.tokens; ++token) {
      const Range seen = seen_in(tile, token, keys);
      for (uint32_t h = 0; h < group_; ++h, ++lane) {
        scratch.begin[lane] = static_cast<int32_t>(seen.begin) - static_cast<int32_t>(first);
        scratch.end[lane] = static_cast<int32_t>(seen.end) - static_cast<int32_t>(first);
      }
    }
    for (; lane < kernel::padded_lanes(job.lanes); ++lane) scratch.begin[lane] = scratch.end[lane] = 0;
    job.begin = scratch.begin;
    job.end = scratch.end;
  }
  fast_->attend(job);
}

}  // namespace mach
