// Attention in fast mode, as kernels: queries are packed once per tile, then attend() takes one block of keys after the
// other and keeps a running softmax ("Online normalizer calculation for softmax", arXiv 1805.02867; FlashAttention, arXiv
// 2205.14135). A lane is one query head of one token; lanes that read the same KV head share each reading of its rows.
//
// Results differ between instruction sets in rounding (queries and softmax weights may be rounded to bf16 or int8 where the
// set multiplies those). On one set a lane's result depends on its own query, on the rows it sees and on the parity of
// their places in the block; not on the other lanes of the tile, nor on rows of the block that it does not see, as long as
// those are finite.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mach::kernel {

inline constexpr uint32_t kAttentionKeys = 64;   // at most, in one block
inline constexpr uint32_t kAttentionLanes = 16;  // lanes are padded to a multiple of this
inline constexpr uint32_t kAttentionDims = 32;   // the head dimension is a multiple of this

constexpr uint32_t padded_lanes(uint32_t lanes) noexcept {
  return (lanes + kAttentionLanes - 1) / kAttentionLanes * kAttentionLanes;
}
// Room for packed queries, and for attend() to work in. Both 64-byte aligned.
constexpr size_t packed_query_bytes(uint32_t lanes, uint32_t dim) noexcept {
  return size_t{padded_lanes(lanes)} * (dim + 2) * sizeof(float);
}
constexpr size_t attention_scratch_bytes(uint32_t dim) noexcept {
  return size_t{kAttentionKeys} * (2 * size_t{dim} + 2 * kAttentionLanes + 64) * sizeof(float);
}

// row = n numbers in 8 bits (quant/kv_row.h). scale = amax / 127, codes rounded to nearest even; codes 128 and scale 0 where
// amax is below 1e-30, scale NaN where an element is not finite. n is a multiple of 4.
using ToQ8 = void(const float* x, uint32_t n, std::byte* row) noexcept;

// queries = the rows of `lanes` queries times scale, in the set's own order and precision.
using PackQueries = void(const float* const* rows, uint32_t lanes, uint32_t dim, float scale,
                         std::byte* queries) noexcept;

struct AttentionJob {
  uint32_t lanes, dim;
  const std::byte* queries;  // packed

  // Rows of the block, at most kAttentionKeys, at `stride` bytes. Those of the last block may end a mapping: nothing is
  // read behind the last row.
  const std::byte *k, *v;
  uint64_t stride;
  uint32_t count;
  // The values of the block that the next call will ask for, where that is known: a hint to fetch them.
  const std::byte* next_v;
  // Lane i sees rows [begin[i], end[i]) of them; [padded_lanes], null = all. A padding lane sees none where they are given.
  const int32_t *begin, *end;

  // Per lane over all blocks so far: m the largest score, l = sum of exp(score - m), acc [lane][dim] = sum of
  // exp(score - m) v. m, l and acc have padded_lanes; new ones are -infinity, 0, 0. What becomes of padding is undefined.
  float *m, *l, *acc;

  std::byte* scratch;
};
using Attend = void(const AttentionJob& job) noexcept;

// For one kind of rows.
struct AttentionKernels {
  PackQueries* pack;
  Attend* attend;
};

}  // namespace mach::kernel
