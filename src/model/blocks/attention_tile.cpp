#include "model/blocks/attention_tile.h"

#include <algorithm>
#include <limits>

namespace mach {
namespace {

// Lanes that a block of keys is read for once; 32 queries of 128 floats are half an L1.
constexpr uint32_t kTileLanes = 32;
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

TileAttention::TileAttention(const KernelSet& kernels, const AttentionShape& shape, const KvShape& kv,
                             const FloatRows& q, const FloatRows& out) noexcept
    : kernels_(kernels),
      shape_(shape),
      kv_(kv),
      group_(shape.heads / kv.kv_heads),
      tile_tokens_(std::max(1U, kTileLanes / group_)),
      dot_rows_(kv.element == KvElement::kF32 ? kernels.dot_rows_f32 : kernels.dot_rows_bf16),
      mix_rows_(kv.element == KvElement::kF32 ? kernels.mix_rows_f32 : kernels.mix_rows_bf16),
      q_(q),
      out_(out) {}

// Scores, then the lanes' query pointers.
size_t TileAttention::scratch_floats() const noexcept {
  return size_t{tile_lanes()} * (kBlockKeys + kFloatsPerPointer);
}

TileAttention::Range TileAttention::visible(const AttentionSequence& sequence, uint32_t first,
                                            uint32_t count) const noexcept {
  const uint32_t position = sequence.position + first;
  const bool limited = shape_.window != 0 && position >= shape_.window;
  return {limited ? position - (shape_.window - 1) : 0, position + count};
}

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

void TileAttention::clear(const AttentionTile& tile, const SoftmaxSums& sums) const noexcept {
  std::fill_n(sums.m, lanes_of(tile), kNothing);
  std::fill_n(sums.l, lanes_of(tile), 0.0F);
  std::fill_n(sums.acc, size_t{lanes_of(tile)} * kv_.head_dim, 0.0F);
}

void TileAttention::sum_span(const AttentionTile& tile, uint32_t span, float* scratch,
                             const SoftmaxSums& sums) const noexcept {
  auto* const queries = reinterpret_cast<const float**>(scratch);
  float* const scores = scratch + size_t{tile_lanes()} * kFloatsPerPointer;
  for (uint32_t lane = 0; lane < lanes_of(tile); ++lane) {
    const uint32_t row = tile.sequence->first_row + tile.first_token + lane / group_;
    queries[lane] = q_.row(row) + size_t{tile.kv_head * group_ + lane % group_} * kv_.head_dim;
  }
  clear(tile, sums);
  const Range seen = visible(*tile.sequence, tile.first_token, tile.tokens);
  const uint32_t begin = std::max(seen.begin, span * kSpanKeys);
  const uint32_t end = std::min(seen.end, (span + 1) * kSpanKeys);
  for (uint32_t block = begin / kBlockKeys * kBlockKeys; block < end; block += kBlockKeys) {
    const Range keys{std::max(begin, block), std::min(end, block + kBlockKeys)};
    add_block(tile, block, keys, queries, scores, sums);
  }
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
  const uint32_t dim = kv_.head_dim;
  for (uint32_t lane = 0; lane < lanes_of(tile); ++lane) {
    if (part.m[lane] == kNothing) continue;
    if (total.m[lane] == kNothing) {
      total.m[lane] = part.m[lane];
      total.l[lane] = part.l[lane];
      std::copy_n(acc(part, lane), dim, acc(total, lane));
      continue;
    }
    const float m = std::max(total.m[lane], part.m[lane]);
    const float keep = exp_of(kernels_, total.m[lane] - m);
    const float add = exp_of(kernels_, part.m[lane] - m);
    total.m[lane] = m;
    total.l[lane] = keep * total.l[lane] + add * part.l[lane];
    kernels_.scale_axpy(keep, add, acc(part, lane), dim, acc(total, lane));
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
