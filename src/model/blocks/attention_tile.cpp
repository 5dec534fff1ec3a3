#include "model/blocks/attention_tile.h"

#include <algorithm>
#include <limits>

namespace mach {
namespace {

// Lanes that a block of keys is read for once; 32 queries of 128 floats are half an L1.
constexpr uint32_t kTileLanes = 32;
// In fast mode sums of 128 lanes and a block stay in L2, and what is read of keys and values per product falls.
constexpr uint32_t kFastTileLanes = 128;
constexpr size_t kPointerBytes = sizeof(const float*);
constexpr size_t kFloatsPerPointer = kPointerBytes / sizeof(float);
constexpr float kNothing = -std::numeric_limits<float>::infinity();

static_assert(TileAttention::kSpanKeys % TileAttention::kBlockKeys == 0);

// Reductions of a block of scores in a fixed order: eight partial results, so that compilers use vectors.
constexpr size_t kParts = 8;

float largest(std::span<const float> scores, float start) noexcept {
  float parts[kParts];
  std::fill_n(parts, kParts, start);
  size_t i = 0;
  for (; i + kParts <= scores.size(); i += kParts) {
    for (size_t j = 0; j < kParts; ++j) parts[j] = scores[i + j] > parts[j] ? scores[i + j] : parts[j];
  }
  for (; i < scores.size(); ++i) parts[0] = scores[i] > parts[0] ? scores[i] : parts[0];
  return *std::max_element(parts, parts + kParts);
}

float sum_of(std::span<const float> scores) noexcept {
  float parts[kParts] = {};
  size_t i = 0;
  for (; i + kParts <= scores.size(); i += kParts) {
    for (size_t j = 0; j < kParts; ++j) parts[j] += scores[i + j];
  }
  for (; i < scores.size(); ++i) parts[i % kParts] += scores[i];
  for (size_t half = kParts / 2; half > 0; half /= 2) {
    for (size_t j = 0; j < half; ++j) parts[j] += parts[j + half];
  }
  return parts[0];
}

float exp_of(const KernelSet& kernels, float x) noexcept {
  kernels.exp(1, &x);
  return x;
}

}  // namespace

const kernel::AttentionKernels* fast_attention(const KernelSet& kernels, Numerics numerics, KvElement element,
                                               uint32_t head_dim) noexcept {
  if (numerics == Numerics::kExact || head_dim % kernel::kAttentionDims != 0) return nullptr;
  switch (element) {
    case KvElement::kBF16:
      return &kernels.attention_bf16;
    case KvElement::kQ8:
      return &kernels.attention_q8;
    case KvElement::kF32:
      break;
  }
  return nullptr;
}

TileAttention::TileAttention(const KernelSet& kernels, Numerics numerics, const AttentionShape& shape,
                             const KvShape& kv, uint32_t most_rows, const FloatRows& q,
                             const FloatRows& out) noexcept
    : kernels_(kernels),
      shape_(shape),
      kv_(kv),
      group_(shape.heads / kv.kv_heads),
      fast_(fast_attention(kernels, numerics, kv.element, kv.head_dim)),
      tile_tokens_(std::clamp((fast_ != nullptr ? kFastTileLanes : kTileLanes) / group_, 1U, most_rows)),
      dot_rows_(kv.element == KvElement::kF32 ? kernels.dot_rows_f32 : kernels.dot_rows_bf16),
      mix_rows_(kv.element == KvElement::kF32 ? kernels.mix_rows_f32 : kernels.mix_rows_bf16),
      q_(q),
      out_(out) {}

// Scores, then the lanes' query pointers.
size_t TileAttention::scratch_floats() const noexcept {
  if (fast_ != nullptr) return fast_scratch_floats();
  return size_t{tile_lanes()} * (kBlockKeys + kFloatsPerPointer);
}

TileAttention::Range TileAttention::visible(const AttentionSequence& sequence, uint32_t first,
                                            uint32_t count) const noexcept {
  const uint32_t position = sequence.position + first;
  const bool limited = shape_.window != 0 && position >= shape_.window;
  return {limited ? position - (shape_.window - 1) : 0, position + count};
}

void TileAttention::clear(const AttentionTile& tile, const SoftmaxSums& sums) const noexcept {
  const uint32_t lanes = kernel::padded_lanes(lanes_of(tile));
  std::fill_n(sums.m, lanes, kNothing);
  std::fill_n(sums.l, lanes, 0.0F);
  std::fill_n(sums.acc, size_t{lanes} * kv_.head_dim, 0.0F);
}

void TileAttention::query_rows(const AttentionTile& tile, const float** rows) const noexcept {
  for (uint32_t lane = 0; lane < lanes_of(tile); ++lane) {
    const uint32_t row = tile.sequence->first_row + tile.first_token + lane / group_;
    rows[lane] = q_.row(row) + size_t{tile.kv_head * group_ + lane % group_} * kv_.head_dim;
  }
}

void TileAttention::sum_span(const AttentionTile& tile, uint32_t span, float* scratch,
                             const SoftmaxSums& sums) const noexcept {
  clear(tile, sums);
  if (fast_ != nullptr) {
    sum_span_fast(tile, span, scratch, sums);
    return;
  }
  auto* const queries = reinterpret_cast<const float**>(scratch);
  float* const scores = scratch + size_t{tile_lanes()} * kFloatsPerPointer;
  query_rows(tile, queries);
  for_blocks(tile, span,
             [&](uint32_t block, Range keys) { add_block(tile, block, keys, queries, scores, sums); });
}

// The part of `keys` that one token sees; empty or inverted if none.
TileAttention::Range TileAttention::seen_in(const AttentionTile& tile, uint32_t token,
                                            Range keys) const noexcept {
  const Range seen = visible(*tile.sequence, tile.first_token + token, 1);
  return {std::max(seen.begin, keys.begin), std::min(seen.end, keys.end)};
}

// Adds `keys`, which lie in the block that starts at position `block`.
void TileAttention::add_block(const AttentionTile& tile, uint32_t block, Range keys,
                              const float* const* queries, float* scores,
                              const SoftmaxSums& sums) const noexcept {
  for_pieces(tile, keys, [&](const kernel::Rows& k, const kernel::Rows&, uint32_t position) {
    dot_rows_(k, kv_.head_dim, queries, lanes_of(tile), scores + (position - block), kBlockKeys);
  });
  // Tokens that see the same keys are summed together: all of them, but where the diagonal or the edge of a
  // window crosses the block. What a token does not see is not touched, so it cannot carry a NaN either.
  for (uint32_t token = 0; token < tile.tokens;) {
    const Range range = seen_in(tile, token, keys);
    uint32_t next = token + 1;
    while (next < tile.tokens && seen_in(tile, next, keys) == range) ++next;
    if (range.begin < range.end) {
      add_lanes(tile, block, range, token * group_, (next - token) * group_, scores, sums);
    }
    token = next;
  }
}

void TileAttention::add_lanes(const AttentionTile& tile, uint32_t block, Range range, uint32_t first_lane,
                              uint32_t lanes, float* scores, const SoftmaxSums& sums) const noexcept {
  for (uint32_t lane = first_lane; lane < first_lane + lanes; ++lane) {
    float* const first = scores + size_t{lane} * kBlockKeys + (range.begin - block);
    add_scores({first, range.end - range.begin}, lane, sums);
  }
  for_pieces(tile, range, [&](const kernel::Rows&, const kernel::Rows& v, uint32_t position) {
    const float* const weights = scores + size_t{first_lane} * kBlockKeys + (position - block);
    mix_rows_(v, kv_.head_dim, weights, kBlockKeys, lanes, acc(sums, first_lane), kv_.head_dim);
  });
}

// One step of the running softmax: scores become exp(scale * score - m).
void TileAttention::add_scores(std::span<float> scores, uint32_t lane,
                               const SoftmaxSums& sums) const noexcept {
  const auto count = static_cast<uint32_t>(scores.size());
  kernels_.scale(shape_.scale, count, scores.data());
  const float before = sums.m[lane];
  const float m = largest(scores, before);
  if (m != before && before != kNothing) {
    const float keep = exp_of(kernels_, before - m);
    sums.l[lane] *= keep;
    kernels_.scale(keep, kv_.head_dim, acc(sums, lane));
  }
  sums.m[lane] = m;
  for (float& s : scores) s -= m;
  kernels_.exp(count, scores.data());
  sums.l[lane] += sum_of(scores);
}

void TileAttention::merge(const AttentionTile& tile, const SoftmaxSums& total,
                          const SoftmaxSums& part) const noexcept {
  constexpr uint32_t kStep = 64;  // lanes whose factors are computed together
  const uint32_t dim = kv_.head_dim;
  float keep[kStep];
  float add[kStep];
  for (uint32_t first = 0; first < lanes_of(tile); first += kStep) {
    const uint32_t lanes = std::min(kStep, lanes_of(tile) - first);
    for (uint32_t i = 0; i < lanes; ++i) {
      const float m = std::max(total.m[first + i], part.m[first + i]);
      keep[i] = total.m[first + i] - m;
      add[i] = part.m[first + i] - m;
    }
    kernels_.exp(lanes, keep);
    kernels_.exp(lanes, add);
    for (uint32_t i = 0; i < lanes; ++i) {
      const uint32_t lane = first + i;
      if (part.m[lane] == kNothing) continue;
      if (total.m[lane] == kNothing) {
        total.m[lane] = part.m[lane];
        total.l[lane] = part.l[lane];
        std::copy_n(acc(part, lane), dim, acc(total, lane));
        continue;
      }
      total.m[lane] = std::max(total.m[lane], part.m[lane]);
      total.l[lane] = keep[i] * total.l[lane] + add[i] * part.l[lane];
      kernels_.scale_axpy(keep[i], add[i], acc(part, lane), dim, acc(total, lane));
    }
  }
}

void TileAttention::finish(const AttentionTile& tile, const SoftmaxSums& total) const noexcept {
  for (uint32_t lane = 0; lane < lanes_of(tile); ++lane) {
    const uint32_t head = tile.kv_head * group_ + lane % group_;
    float sum = total.l[lane];
    float share = 1.0F;
    if (!shape_.sinks.empty()) {
      const float sink = shape_.sinks[head];
      const float m = std::max(total.m[lane], sink);
      share = exp_of(kernels_, total.m[lane] - m);
      sum = sum * share + exp_of(kernels_, sink - m);
    }
    const uint32_t row = tile.sequence->first_row + tile.first_token + lane / group_;
    float* const out = out_.row(row) + size_t{head} * kv_.head_dim;
    std::copy_n(acc(total, lane), kv_.head_dim, out);
    kernels_.scale(share / sum, kv_.head_dim, out);
  }
}

}  // namespace mach
