// Attention in fp32: a block of keys and values is widened once, then scores are computed with lanes side by side in a
// register (a packed query is [dim][8 lanes]) and softmax runs down columns.
#include <cstring>
#include <limits>

#include "kernels/avx2/avx2_kernels.h"
#include "kernels/avx2/simd.h"
#include "kernels/avx2/simd_math.h"

namespace mach::avx2 {
namespace {

using kernel::AttentionJob;
using kernel::kAttentionKeys;

constexpr uint32_t kGroup = 8;          // lanes in a register
constexpr uint32_t kWide = 2 * kGroup;  // lanes that share a broadcast

void widen_bf16_row(const std::byte* row, uint32_t dim, float* out) noexcept {
  for (uint32_t i = 0; i < dim; i += 8) _mm256_store_ps(out + i, BF16::load(row + size_t{2} * i));
}

void widen_q8_row(const std::byte* row, uint32_t dim, float* out) noexcept {
  float scale;
  std::memcpy(&scale, row + dim, sizeof scale);
  for (uint32_t i = 0; i < dim; i += 8) {
    const __m256i code = _mm256_sub_epi32(_mm256_cvtepu8_epi32(load8(row + i)), _mm256_set1_epi32(128));
    _mm256_store_ps(out + i, _mm256_mul_ps(_mm256_cvtepi32_ps(code), all(scale)));
  }
}

using WidenRow = void(const std::byte* row, uint32_t dim, float* out) noexcept;

// s[key][lane] of kKeys keys and kVectors times 8 lanes.
template <uint32_t kKeys, uint32_t kVectors>
void score_tile(const float* query, const float* keys, uint32_t dim, float* s) noexcept {
  __m256 sums[kKeys][kVectors];
#pragma GCC unroll 8
  for (uint32_t k = 0; k < kKeys; ++k) {
#pragma GCC unroll 2
    for (uint32_t v = 0; v < kVectors; ++v) sums[k][v] = _mm256_setzero_ps();
  }
  for (uint32_t i = 0; i < dim; ++i) {
    __m256 q[kVectors];
#pragma GCC unroll 2
    for (uint32_t v = 0; v < kVectors; ++v) q[v] = _mm256_load_ps(query + kGroup * (size_t{v} * dim + i));
#pragma GCC unroll 8
    for (uint32_t k = 0; k < kKeys; ++k) {
      const __m256 key = _mm256_broadcast_ss(keys + size_t{k} * dim + i);
#pragma GCC unroll 2
      for (uint32_t v = 0; v < kVectors; ++v) sums[k][v] = _mm256_fmadd_ps(key, q[v], sums[k][v]);
    }
  }
#pragma GCC unroll 8
  for (uint32_t k = 0; k < kKeys; ++k) {
#pragma GCC unroll 2
    for (uint32_t v = 0; v < kVectors; ++v) _mm256_store_ps(s + size_t{k} * kWide + v * kGroup, sums[k][v]);
  }
}

template <uint32_t kVectors>
void scores(const AttentionJob& job, const float* query, const float* keys, float* s) noexcept {
  constexpr uint32_t kKeys = 8 / kVectors;
  uint32_t k = 0;
  for (; k + kKeys <= job.count; k += kKeys) {
    score_tile<kKeys, kVectors>(query, keys + size_t{k} * job.dim, job.dim, s + size_t{k} * kWide);
  }
  for (; k < job.count; ++k) {
    score_tile<1, kVectors>(query, keys + size_t{k} * job.dim, job.dim, s + size_t{k} * kWide);
  }
}

// Eight lanes from `lane` on: scores become weights, in place.
void softmax_lanes(const AttentionJob& job, uint32_t lane, float* s, float* keep) noexcept {
  const __m256 nothing = all(-std::numeric_limits<float>::infinity());
  const __m256 before = _mm256_loadu_ps(job.m + lane);
  __m256 m = before;
  for (uint32_t k = 0; k < job.count; ++k) {
    __m256 score = _mm256_load_ps(s + size_t{k} * kWide);
    if (job.begin != nullptr) {
      const __m256i key = _mm256_set1_epi32(static_cast<int>(k));
      const __m256i early = _mm256_cmpgt_epi32(load32(job.begin + lane), key);
      const __m256i seen = _mm256_andnot_si256(early, _mm256_cmpgt_epi32(load32(job.end + lane), key));
      score = _mm256_blendv_ps(nothing, score, _mm256_castsi256_ps(seen));
      _mm256_store_ps(s + size_t{k} * kWide, score);
    }
    m = _mm256_max_ps(m, score);
  }
  // A lane that has seen nothing subtracts 0; what it does not see weighs exactly 0.
  const __m256 some = _mm256_cmp_ps(m, nothing, _CMP_NEQ_UQ);
  const __m256 top = _mm256_and_ps(m, some);
  const auto weight = [&](__m256 x) {
    const __m256 exists = _mm256_cmp_ps(x, nothing, _CMP_NEQ_UQ);
    return _mm256_and_ps(exp8(_mm256_sub_ps(x, top)), exists);
  };
  const __m256 kept = weight(before);
  __m256 sum = _mm256_setzero_ps();
  for (uint32_t k = 0; k < job.count; ++k) {
    const __m256 w = weight(_mm256_load_ps(s + size_t{k} * kWide));
    sum = _mm256_add_ps(sum, w);
    _mm256_store_ps(s + size_t{k} * kWide, w);
  }
  _mm256_storeu_ps(job.l + lane, _mm256_fmadd_ps(_mm256_loadu_ps(job.l + lane), kept, sum));
  _mm256_storeu_ps(job.m + lane, m);
  _mm256_store_ps(keep, kept);
}

// acc = keep * acc + weights values, for kLanes lanes and 16 dimensions.
template <uint32_t kLanes>
void mix_tile(uint32_t count, uint32_t dim, const float* values, const float* weights, const float* keep,
              float* acc) noexcept {
  __m256 sums[kLanes][2];
#pragma GCC unroll 4
  for (uint32_t c = 0; c < kLanes; ++c) {
    const float* from = acc + size_t{c} * dim;
    sums[c][0] = _mm256_mul_ps(all(keep[c]), _mm256_loadu_ps(from));
    sums[c][1] = _mm256_mul_ps(all(keep[c]), _mm256_loadu_ps(from + 8));
  }
  for (uint32_t k = 0; k < count; ++k) {
    const __m256 low = _mm256_load_ps(values + size_t{k} * dim);
    const __m256 high = _mm256_load_ps(values + size_t{k} * dim + 8);
#pragma GCC unroll 4
    for (uint32_t c = 0; c < kLanes; ++c) {
      const __m256 weight = _mm256_broadcast_ss(weights + size_t{k} * kWide + c);
      sums[c][0] = _mm256_fmadd_ps(weight, low, sums[c][0]);
      sums[c][1] = _mm256_fmadd_ps(weight, high, sums[c][1]);
    }
  }
#pragma GCC unroll 4
  for (uint32_t c = 0; c < kLanes; ++c) {
    _mm256_storeu_ps(acc + size_t{c} * dim, sums[c][0]);
    _mm256_storeu_ps(acc + size_t{c} * dim + 8, sums[c][1]);
  }
}

void attend(const AttentionJob& job, WidenRow* widen) noexcept {
  auto* keys = reinterpret_cast<float*>(job.scratch);
  float* values = keys + size_t{kAttentionKeys} * job.dim;
  float* s = values + size_t{kAttentionKeys} * job.dim;
  float* keep = s + kAttentionKeys * kWide;
  for (uint32_t k = 0; k < job.count; ++k) {
    widen(job.k + k * job.stride, job.dim, keys + size_t{k} * job.dim);
    widen(job.v + k * job.stride, job.dim, values + size_t{k} * job.dim);
  }
  for (uint32_t lane = 0; lane < job.lanes; lane += kWide) {
    const uint32_t lanes = job.lanes - lane < kWide ? job.lanes - lane : kWide;
    const float* query = reinterpret_cast<const float*>(job.queries) + size_t{lane} * job.dim;
    if (lanes > kGroup) {
      scores<2>(job, query, keys, s);
    } else {
      scores<1>(job, query, keys, s);
    }
    for (uint32_t half = 0; half < lanes; half += kGroup)
      softmax_lanes(job, lane + half, s + half, keep + half);
    float* acc = job.acc + size_t{lane} * job.dim;
    for (uint32_t i = 0; i < job.dim; i += 16) {
      uint32_t c = 0;
      for (; c + 4 <= lanes; c += 4)
        mix_tile<4>(job.count, job.dim, values + i, s + c, keep + c, acc + size_t{c} * job.dim + i);
      for (; c < lanes; ++c)
        mix_tile<1>(job.count, job.dim, values + i, s + c, keep + c, acc + size_t{c} * job.dim + i);
    }
  }
}

}  // namespace

void pack_queries_f32(const float* const* rows, uint32_t lanes, uint32_t dim, float scale,
                      std::byte* queries) noexcept {
  auto* out = reinterpret_cast<float*>(queries);
  const uint32_t padded = (lanes + kGroup - 1) / kGroup * kGroup;
  for (uint32_t lane = 0; lane < padded; ++lane) {
    float* column = out + lane / kGroup * kGroup * size_t{dim} + lane % kGroup;
    for (uint32_t i = 0; i < dim; ++i)
      column[size_t{i} * kGroup] = lane < lanes ? rows[lane][i] * scale : 0.0F;
  }
}

void attend_bf16(const AttentionJob& job) noexcept { attend(job, widen_bf16_row); }
void attend_q8(const AttentionJob& job) noexcept { attend(job, widen_q8_row); }

void q8_from_f32(const float* x, uint32_t n, std::byte* row) noexcept {
  const __m256 sign = all(-0.0F);
  const __m256 infinity = all(std::numeric_limits<float>::infinity());
  __m256 largest = _mm256_setzero_ps();
  __m256 finite = _mm256_cmp_ps(sign, sign, _CMP_EQ_OQ);
  const auto load = [&](uint32_t i) { return i + 8 <= n ? _mm256_loadu_ps(x + i) : load_part(x + i, n - i); };
  for (uint32_t i = 0; i < n; i += 8) {
    const __m256 v = _mm256_andnot_ps(sign, load(i));
    finite = _mm256_and_ps(finite, _mm256_cmp_ps(v, infinity, _CMP_LT_OQ));
    largest = _mm256_max_ps(largest, v);
  }
  alignas(32) float lanes[8];
  _mm256_store_ps(lanes, largest);
  float amax = 0.0F;
  for (const float lane : lanes) amax = lane > amax ? lane : amax;
  const bool all_finite = _mm256_movemask_ps(finite) == 0xff;
  const bool some = all_finite && amax >= 1e-30F;
  const float scale = all_finite ? (some ? amax / 127.0F : 0.0F) : std::numeric_limits<float>::quiet_NaN();
  const __m256 inverse = all(some ? 127.0F / amax : 0.0F);
  for (uint32_t i = 0; i < n; i += 8) {
    const __m256i code = some ? _mm256_cvtps_epi32(_mm256_mul_ps(load(i), inverse)) : _mm256_setzero_si256();
    alignas(32) int32_t codes[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(codes), _mm256_add_epi32(code, _mm256_set1_epi32(128)));
    for (uint32_t j = 0; j < 8 && i + j < n; ++j) row[i + j] = static_cast<std::byte>(codes[j]);
  }
  std::memcpy(row + n, &scale, sizeof scale);
}

}  // namespace mach::avx2
