// Attention with bf16 and int8 dot products. Scores of a block are computed with lanes side by side in a register: a packed
// query holds pairs (bf16) or fours (int8) of dimensions of 16 lanes, a key's pair is broadcast from its row as it lies in
// the cache. So there is no horizontal sum, and maximum, exponential and sum of the softmax run down columns. Values are
// packed in pairs of keys once per block; weights are rounded to bf16.
#include <cstring>
#include <limits>

#include <immintrin.h>

#include "kernels/avx512bf16/avx512bf16_kernels.h"

namespace mach::avx512bf16 {
namespace {

using kernel::AttentionJob;
using kernel::kAttentionKeys;
using kernel::kAttentionLanes;

constexpr uint32_t kPairs = kAttentionKeys / 2;
constexpr uint32_t kWideLanes = 2 * kAttentionLanes;  // lanes that share a broadcast
constexpr float kLog2E = 0x1.715476p+0F;

inline __m512 all(float v) noexcept { return _mm512_set1_ps(v); }
inline uint32_t smaller(uint32_t a, uint32_t b) noexcept { return a < b ? a : b; }
inline __mmask16 first_lanes(uint32_t n) noexcept {
  return static_cast<__mmask16>(n >= 16 ? 0xffffU : (1U << n) - 1U);
}

// 2^x; 0 below -150. Degree 5 on [-1/2, 1/2], relative error below 2e-7, and 2^0 is 1.
inline __m512 exp2_16(__m512 x) noexcept {
  x = _mm512_max_ps(all(-200.0F), x);  // a NaN is the second operand and passes through
  const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 r = _mm512_sub_ps(x, n);
  __m512 p = all(0.0013390863364F);
  p = _mm512_fmadd_ps(p, r, all(0.0096760319183F));
  p = _mm512_fmadd_ps(p, r, all(0.0555035711422F));
  p = _mm512_fmadd_ps(p, r, all(0.2402210748531F));
  p = _mm512_fmadd_ps(p, r, all(0.6931471880262F));
  p = _mm512_fmadd_ps(p, r, all(1.0F));
  return _mm512_scalef_ps(p, n);
}

// Turns 16 rows of 16 dwords.
void transpose16(__m512i (&r)[16]) noexcept {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  // Now r[4 a + b] holds, in 128-bit part p, column 4 p + b of rows 4 a .. 4 a + 3.
#pragma GCC unroll 4
  for (int b = 0; b < 4; ++b) {
    const __m512i low = _mm512_shuffle_i32x4(r[b], r[4 + b], 0x88);         // parts 0, 2 of a = 0, 1
    const __m512i high = _mm512_shuffle_i32x4(r[8 + b], r[12 + b], 0x88);   // of a = 2, 3
    const __m512i low1 = _mm512_shuffle_i32x4(r[b], r[4 + b], 0xdd);        // parts 1, 3
    const __m512i high1 = _mm512_shuffle_i32x4(r[8 + b], r[12 + b], 0xdd);  //
    t[b] = _mm512_shuffle_i32x4(low, high, 0x88);
    t[8 + b] = _mm512_shuffle_i32x4(low, high, 0xdd);
    t[4 + b] = _mm512_shuffle_i32x4(low1, high1, 0x88);
    t[12 + b] = _mm512_shuffle_i32x4(low1, high1, 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = t[i];
}

// Packed queries of 16 lanes: bf16 [dim / 2][16] pairs; int8 [dim / 4][16] fours, then scales [16] and offsets [16], where
// offset = 128 * sum of the lane's codes.
size_t group_bytes_bf16(uint32_t dim) noexcept { return size_t{dim} * 2 * kAttentionLanes; }
size_t group_bytes_q8(uint32_t dim) noexcept { return size_t{dim + 8} * kAttentionLanes; }

// --- scores: S[key][lane] ----------------------------------------------------------------------------------

// Scores of kKeys keys against kVectors times 16 lanes, for rows of kDim elements (0: job.dim).
struct BF16Keys {
  static constexpr uint32_t kElements = 2;  // of a row in a dword
  using Sum = __m512;
  static Sum zero() noexcept { return _mm512_setzero_ps(); }
  static Sum step(Sum sum, __m512i key, __m512i query) noexcept {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(key), reinterpret_cast<__m512bh>(query));
  }
  static size_t group_bytes(uint32_t dim) noexcept { return group_bytes_bf16(dim); }
  static size_t row_bytes(uint32_t dim) noexcept { return size_t{dim} * 2; }
  static __m512 score(Sum sum, const std::byte*, const std::byte*, uint32_t) noexcept { return sum; }
};

struct Q8Keys {
  static constexpr uint32_t kElements = 4;
  using Sum = __m512i;
  static Sum zero() noexcept { return _mm512_setzero_si512(); }
  static Sum step(Sum sum, __m512i key, __m512i query) noexcept {
    return _mm512_dpbusd_epi32(sum, key, query);
  }
  static size_t group_bytes(uint32_t dim) noexcept { return group_bytes_q8(dim); }
  static size_t row_bytes(uint32_t dim) noexcept { return dim + sizeof(float); }
  static __m512 score(Sum sum, const std::byte* key, const std::byte* group, uint32_t dim) noexcept {
    const std::byte* scales = group + size_t{dim} * kAttentionLanes;
    const __m512i offset = _mm512_load_si512(scales + 64);
    float key_scale;
    std::memcpy(&key_scale, key + dim, sizeof key_scale);
    const __m512 whole = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, offset));
    return _mm512_mul_ps(whole, _mm512_mul_ps(_mm512_load_ps(scales), all(key_scale)));
  }
};

// With one vector of lanes the time goes into reading rows: `ahead` is what will be read next, a line per step.
template <class Keys, uint32_t kKeys, uint32_t kVectors>
void score_tile(const AttentionJob& job, const std::byte* group, const std::byte* rows,
                const std::byte* ahead, float* s) noexcept {
  const uint64_t stride = job.stride;
  const size_t next_group = Keys::group_bytes(job.dim);
  typename Keys::Sum sums[kKeys][kVectors];
#pragma GCC unroll 16
  for (uint32_t k = 0; k < kKeys; ++k) {
#pragma GCC unroll 2
    for (uint32_t v = 0; v < kVectors; ++v) sums[k][v] = Keys::zero();
  }
  // Four rows per base address, so that the rest of the address fits an instruction.
  const std::byte* base[(kKeys + 3) / 4];
#pragma GCC unroll 4
  for (uint32_t b = 0; b < (kKeys + 3) / 4; ++b) base[b] = rows + 4 * b * stride;
  const uint64_t third = 3 * stride;
  const uint32_t steps = job.dim / Keys::kElements;
  for (uint32_t i = 0; i < steps; ++i) {
    if constexpr (kVectors == 1 && kKeys == 16) {
      _mm_prefetch(reinterpret_cast<const char*>(ahead) + size_t{64} * i, _MM_HINT_T1);
    }
    __m512i query[kVectors];
#pragma GCC unroll 2
    for (uint32_t v = 0; v < kVectors; ++v)
      query[v] = _mm512_load_si512(group + v * next_group + size_t{64} * i);
#pragma GCC unroll 16
    for (uint32_t k = 0; k < kKeys; ++k) {
      const uint64_t row = k % 4 == 3 ? third : (k % 4) * stride;
      int32_t dword;
      std::memcpy(&dword, base[k / 4] + row + size_t{4} * i, sizeof dword);
      const __m512i key = _mm512_set1_epi32(dword);
#pragma GCC unroll 2
      for (uint32_t v = 0; v < kVectors; ++v) sums[k][v] = Keys::step(sums[k][v], key, query[v]);
    }
  }
#pragma GCC unroll 16
  for (uint32_t k = 0; k < kKeys; ++k) {
#pragma GCC unroll 2
    for (uint32_t v = 0; v < kVectors; ++v) {
      const __m512 score = Keys::score(sums[k][v], rows + k * stride, group + v * next_group, job.dim);
      _mm512_store_ps(s + size_t{k} * kWideLanes + v * kAttentionLanes, score);
    }
  }
}

template <class Keys, uint32_t kVectors>
void scores(const AttentionJob& job, const std::byte* group, float* s) noexcept {
  constexpr uint32_t kKeys = 16 / kVectors;
  const std::byte* ahead = job.next_v != nullptr ? job.next_v : job.k;
  uint32_t k = 0;
  const auto at = [&](auto tile) {
    const uint64_t offset = k * job.stride;
    tile(job, group, job.k + offset, ahead + offset, s + size_t{k} * kWideLanes);
  };
  for (; k + kKeys <= job.count; k += kKeys) at(score_tile<Keys, kKeys, kVectors>);
  for (; k + 4 <= job.count; k += 4) at(score_tile<Keys, 4, kVectors>);
  for (; k < job.count; ++k) at(score_tile<Keys, 1, kVectors>);
}

// --- softmax: S becomes weights in pairs of keys -----------------------------------------------------------

// What a weight is multiplied with before it meets its value row: nothing, or the row's scale.
struct BF16Values {
  static __m512 weight(__m512 w, const AttentionJob&, uint32_t) noexcept { return w; }
};
struct Q8Values {
  static __m512 weight(__m512 w, const AttentionJob& job, uint32_t key) noexcept {
    float scale;
    std::memcpy(&scale, job.v + key * job.stride + job.dim, sizeof scale);
    return _mm512_mul_ps(w, all(scale));
  }
};

// 16 lanes from `lane` on; keep[lane] is what the sums so far are multiplied with.
template <class Values>
void softmax(const AttentionJob& job, uint32_t lane, float* s, uint32_t* pairs, float* keep) noexcept {
  const __m512 nothing = all(-std::numeric_limits<float>::infinity());
  const __m512 before = _mm512_loadu_ps(job.m + lane);
  __m512 m = before;
  if (job.begin == nullptr) {
    for (uint32_t k = 0; k < job.count; ++k) m = _mm512_max_ps(m, _mm512_load_ps(s + size_t{k} * kWideLanes));
  } else {
    const __m512i begin = _mm512_loadu_si512(job.begin + lane);
    const __m512i end = _mm512_loadu_si512(job.end + lane);
    for (uint32_t k = 0; k < job.count; ++k) {
      const __m512i key = _mm512_set1_epi32(static_cast<int32_t>(k));
      const __mmask16 seen = _mm512_cmple_epi32_mask(begin, key) & _mm512_cmplt_epi32_mask(key, end);
      const __m512 score = _mm512_mask_mov_ps(nothing, seen, _mm512_load_ps(s + size_t{k} * kWideLanes));
      _mm512_store_ps(s + size_t{k} * kWideLanes, score);
      m = _mm512_max_ps(m, score);
    }
  }
  // exp(score - m) = 2^(score * log2(e) - m * log2(e)); a lane that has seen nothing subtracts 0, so its weights are 0.
  const __mmask16 some = _mm512_cmpneq_ps_mask(m, nothing);
  const __m512 top = _mm512_mul_ps(_mm512_maskz_mov_ps(some, m), all(kLog2E));
  // Exactly 1 where the largest score stays: a block that a lane does not see must leave its sums as they are.
  const __m512 kept =
      exp2_16(_mm512_mul_ps(_mm512_sub_ps(before, _mm512_maskz_mov_ps(some, m)), all(kLog2E)));
  __m512 sum = _mm512_setzero_ps();
  const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                              23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const auto weight = [&](uint32_t k) {
    return exp2_16(_mm512_fmsub_ps(_mm512_load_ps(s + size_t{k} * kWideLanes), all(kLog2E), top));
  };
  for (uint32_t p = 0; 2 * p < job.count; ++p) {
    const bool whole = 2 * p + 1 < job.count;
    __m512 even = weight(2 * p);
    __m512 odd = whole ? weight(2 * p + 1) : _mm512_setzero_ps();
    sum = _mm512_add_ps(_mm512_add_ps(sum, even), odd);
    even = Values::weight(even, job, 2 * p);
    if (whole) odd = Values::weight(odd, job, 2 * p + 1);
    const auto both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd, even));
    _mm512_store_si512(pairs + size_t{p} * kWideLanes, _mm512_permutexvar_epi16(interleave, both));
  }
  _mm512_storeu_ps(job.l + lane, _mm512_fmadd_ps(_mm512_loadu_ps(job.l + lane), kept, sum));
  _mm512_storeu_ps(job.m + lane, m);
  _mm512_store_ps(keep, kept);
}

// --- values ------------------------------------------------------------------------------------------------

// out [pair][dim] = elements of the rows 2 p (low half) and 2 p + 1; a missing last row counts as zeros.
void pair_values_bf16(const AttentionJob& job, uint32_t* out) noexcept {
  const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7,
                                       38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  for (uint32_t p = 0; 2 * p < job.count; ++p, out += job.dim) {
    const std::byte* even = job.v + size_t{2} * p * job.stride;
    const std::byte* odd = 2 * p + 1 < job.count ? even + job.stride : nullptr;
    const char* const keys = reinterpret_cast<const char*>(job.k + size_t{2} * p * job.stride);
    for (uint32_t i = 0; i < job.dim; i += 32) {
      _mm_prefetch(keys + size_t{2} * i, _MM_HINT_T1);  // read next
      _mm_prefetch(keys + job.stride + size_t{2} * i, _MM_HINT_T1);
      const __m512i a = _mm512_loadu_si512(even + size_t{2} * i);
      const __m512i b = odd != nullptr ? _mm512_loadu_si512(odd + size_t{2} * i) : _mm512_setzero_si512();
      _mm512_store_si512(out + i, _mm512_permutex2var_epi16(a, low, b));
      _mm512_store_si512(out + i + 16, _mm512_permutex2var_epi16(a, high, b));
    }
  }
}

// Codes less 128 are exact in bf16.
inline __m512i code_floats(const std::byte* codes) noexcept {
  const __m128i bytes =
      _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)), _mm_set1_epi8(-128));
  return _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)));
}

void pair_values_q8(const AttentionJob& job, uint32_t* out) noexcept {
  for (uint32_t p = 0; 2 * p < job.count; ++p, out += job.dim) {
    const std::byte* even = job.v + size_t{2} * p * job.stride;
    const std::byte* odd = 2 * p + 1 < job.count ? even + job.stride : nullptr;
    const char* const keys = reinterpret_cast<const char*>(job.k + size_t{2} * p * job.stride);
    for (uint32_t i = 0; i < job.dim; i += 16) {
      _mm_prefetch(keys + size_t{2} * i, _MM_HINT_T1);  // read next: both rows lie within
      const __m512i a = _mm512_srli_epi32(code_floats(even + i), 16);
      const __m512i b = odd != nullptr ? code_floats(odd + i) : _mm512_setzero_si512();
      _mm512_store_si512(out + i, _mm512_or_si512(a, b));
    }
  }
}

// acc = keep * acc + weights values, for kLanes lanes and 16 * kVectors dimensions.
template <uint32_t kLanes, uint32_t kVectors>
void mix_tile(uint32_t pair_count, uint32_t dim, const uint32_t* values, const uint32_t* pairs,
              const float* keep, float* acc) noexcept {
  __m512 sums[kLanes][kVectors];
#pragma GCC unroll 4
  for (uint32_t c = 0; c < kLanes; ++c) {
#pragma GCC unroll 4
    for (uint32_t v = 0; v < kVectors; ++v)
      sums[c][v] = _mm512_mul_ps(all(keep[c]), _mm512_loadu_ps(acc + size_t{c} * dim + 16 * v));
  }
  for (uint32_t p = 0; p < pair_count; ++p) {
    __m512bh value[kVectors];
#pragma GCC unroll 4
    for (uint32_t v = 0; v < kVectors; ++v)
      value[v] = reinterpret_cast<__m512bh>(_mm512_load_si512(values + size_t{p} * dim + 16 * v));
#pragma GCC unroll 4
    for (uint32_t c = 0; c < kLanes; ++c) {
      const auto weight = reinterpret_cast<__m512bh>(
          _mm512_set1_epi32(static_cast<int32_t>(pairs[size_t{p} * kWideLanes + c])));
#pragma GCC unroll 4
      for (uint32_t v = 0; v < kVectors; ++v) sums[c][v] = _mm512_dpbf16_ps(sums[c][v], weight, value[v]);
    }
  }
#pragma GCC unroll 4
  for (uint32_t c = 0; c < kLanes; ++c) {
#pragma GCC unroll 4
    for (uint32_t v = 0; v < kVectors; ++v) _mm512_storeu_ps(acc + size_t{c} * dim + 16 * v, sums[c][v]);
  }
}

template <uint32_t kVectors>
void mix_dims(const AttentionJob& job, uint32_t lanes, uint32_t i, const uint32_t* values,
              const uint32_t* pairs, const float* keep, float* acc) noexcept {
  const uint32_t pair_count = (job.count + 1) / 2;
  uint32_t lane = 0;
  const auto at = [&](auto tile) {
    tile(pair_count, job.dim, values + i, pairs + lane, keep + lane, acc + size_t{lane} * job.dim + i);
  };
  for (; lane + 4 <= lanes; lane += 4) at(mix_tile<4, kVectors>);
  if (lane + 2 <= lanes) {
    at(mix_tile<2, kVectors>);
    lane += 2;
  }
  if (lane < lanes) at(mix_tile<1, kVectors>);
}

void mix(const AttentionJob& job, uint32_t first, uint32_t lanes, const uint32_t* values,
         const uint32_t* pairs, const float* keep) noexcept {
  float* acc = job.acc + size_t{first} * job.dim;
  uint32_t i = 0;
  for (; i + 64 <= job.dim; i += 64) mix_dims<4>(job, lanes, i, values, pairs, keep, acc);
  for (; i < job.dim; i += 32) mix_dims<2>(job, lanes, i, values, pairs, keep, acc);
}

template <class Keys, class Values>
void attend(const AttentionJob& job, void (*pair_values)(const AttentionJob&, uint32_t*) noexcept) noexcept {
  auto* values = reinterpret_cast<uint32_t*>(job.scratch);                     // [pair][dim]
  auto* s = reinterpret_cast<float*>(values + size_t{kPairs} * job.dim);       // [key][32]
  auto* pairs = reinterpret_cast<uint32_t*>(s + kAttentionKeys * kWideLanes);  // [pair][32]
  auto* keep = reinterpret_cast<float*>(pairs + size_t{kPairs} * kWideLanes);  // [32]
  pair_values(job, values);
  const size_t group_bytes = Keys::group_bytes(job.dim);
  for (uint32_t lane = 0; lane < job.lanes; lane += kWideLanes) {
    const uint32_t lanes = smaller(kWideLanes, job.lanes - lane);
    const std::byte* group = job.queries + lane / kAttentionLanes * group_bytes;
    if (lanes > kAttentionLanes) {
      scores<Keys, 2>(job, group, s);
    } else {
      scores<Keys, 1>(job, group, s);
    }
    for (uint32_t half = 0; half < lanes; half += kAttentionLanes)
      softmax<Values>(job, lane + half, s + half, pairs + half, keep + half);
    mix(job, lane, lanes, values, pairs, keep);
  }
}

// Sixteen floats of each of the lanes [first, lanes), times scale; a missing lane counts as zeros.
inline __m512 query_floats(const float* const* rows, uint32_t lane, uint32_t lanes, uint32_t i,
                           __mmask16 part) noexcept {
  return lane < lanes ? _mm512_maskz_loadu_ps(part, rows[lane] + i) : _mm512_setzero_ps();
}

// How a row becomes 8-bit codes (ToQ8 in attention_types.h).
struct Magnitude {
  float amax;
  bool finite;
  bool some() const noexcept { return finite && amax >= 1e-30F; }
  float inverse() const noexcept { return some() ? 127.0F / amax : 0.0F; }
  float scale() const noexcept {
    return finite ? (some() ? amax / 127.0F : 0.0F) : std::numeric_limits<float>::quiet_NaN();
  }
};

template <class Load>
Magnitude magnitude(uint32_t n, const Load& load) noexcept {
  constexpr int kNanOrInfinity = 0x99;
  __m512 largest = _mm512_setzero_ps();
  __mmask16 strange = 0;
  for (uint32_t i = 0; i < n; i += 16) {
    const __m512 v = load(i);
    strange |= _mm512_fpclass_ps_mask(v, kNanOrInfinity);
    largest = _mm512_max_ps(largest, _mm512_abs_ps(v));
  }
  return {_mm512_reduce_max_ps(largest), strange == 0};
}

// Zeros where inverse is 0, whatever x is.
inline __m512i int8_codes(__m512 x, __m512 inverse) noexcept {
  const __mmask16 some = _mm512_cmpneq_ps_mask(inverse, _mm512_setzero_ps());
  return _mm512_maskz_cvtps_epi32(some, _mm512_mul_ps(x, inverse));
}

}  // namespace

void pack_queries_bf16(const float* const* rows, uint32_t lanes, uint32_t dim, float scale,
                       std::byte* queries) noexcept {
  const __m512 factor = all(scale);
  for (uint32_t first = 0; first < lanes; first += kAttentionLanes) {
    std::byte* group = queries + first / kAttentionLanes * group_bytes_bf16(dim);
    for (uint32_t i = 0; i < dim; i += 32) {
      __m512i pair[16];
      for (uint32_t lane = 0; lane < 16; ++lane) {
        const __m512 low = query_floats(rows, first + lane, lanes, i, 0xffff);
        const __m512 high = query_floats(rows, first + lane, lanes, i + 16, 0xffff);
        pair[lane] = reinterpret_cast<__m512i>(
            _mm512_cvtne2ps_pbh(_mm512_mul_ps(high, factor), _mm512_mul_ps(low, factor)));
      }
      transpose16(pair);
      for (uint32_t j = 0; j < 16; ++j) _mm512_store_si512(group + size_t{64} * (i / 2 + j), pair[j]);
    }
  }
}

void pack_queries_q8(const float* const* rows, uint32_t lanes, uint32_t dim, float scale,
                     std::byte* queries) noexcept {
  for (uint32_t first = 0; first < lanes; first += kAttentionLanes) {
    std::byte* group = queries + first / kAttentionLanes * group_bytes_q8(dim);
    auto* scales = reinterpret_cast<float*>(group + size_t{dim} * kAttentionLanes);
    auto* offsets = reinterpret_cast<int32_t*>(scales + kAttentionLanes);
    __m512 inverse[kAttentionLanes];
    for (uint32_t lane = 0; lane < kAttentionLanes; ++lane) {
      const Magnitude of =
          magnitude(dim, [&](uint32_t i) { return query_floats(rows, first + lane, lanes, i, 0xffff); });
      inverse[lane] = all(of.inverse());
      scales[lane] = of.scale() * scale;
      offsets[lane] = 0;
    }
    for (uint32_t i = 0; i < dim; i += 64) {
      __m512i four[16];
      for (uint32_t lane = 0; lane < kAttentionLanes; ++lane) {
        __m128i part[4];
        __m512i sum = _mm512_setzero_si512();
#pragma GCC unroll 4
        for (uint32_t j = 0; j < 4; ++j) {
          const __mmask16 exists = i + 16 * j < dim ? 0xffff : 0;
          const __m512 x = query_floats(rows, first + lane, lanes, exists != 0 ? i + 16 * j : 0, exists);
          const __m512i code = int8_codes(x, inverse[lane]);
          sum = _mm512_add_epi32(sum, code);
          part[j] = _mm512_cvtepi32_epi8(code);
        }
        offsets[lane] += 128 * _mm512_reduce_add_epi32(sum);
        __m512i codes = _mm512_castsi128_si512(part[0]);
        codes = _mm512_inserti32x4(codes, part[1], 1);
        codes = _mm512_inserti32x4(codes, part[2], 2);
        four[lane] = _mm512_inserti32x4(codes, part[3], 3);
      }
      transpose16(four);
      const uint32_t steps = smaller(16, (dim - i) / 4);
      for (uint32_t j = 0; j < steps; ++j) _mm512_store_si512(group + size_t{64} * (i / 4 + j), four[j]);
    }
  }
}

void attend_bf16(const AttentionJob& job) noexcept { attend<BF16Keys, BF16Values>(job, pair_values_bf16); }

void attend_q8(const AttentionJob& job) noexcept { attend<Q8Keys, Q8Values>(job, pair_values_q8); }

void q8_from_f32(const float* x, uint32_t n, std::byte* row) noexcept {
  const Magnitude of =
      magnitude(n, [&](uint32_t i) { return _mm512_maskz_loadu_ps(first_lanes(n - i), x + i); });
  const float scale = of.scale();
  for (uint32_t i = 0; i < n; i += 16) {
    const __mmask16 part = first_lanes(n - i);
    const __m512i code = int8_codes(_mm512_maskz_loadu_ps(part, x + i), all(of.inverse()));
    _mm_mask_storeu_epi8(row + i, part, _mm512_cvtepi32_epi8(_mm512_add_epi32(code, _mm512_set1_epi32(128))));
  }
  std::memcpy(row + n, &scale, sizeof scale);
}

}  // namespace mach::avx512bf16
