// Conversions between fp32 and the 16-bit floats, and quantisation of activations.
#include "kernels/avx2/avx2_kernels.h"
#include "kernels/avx2/simd.h"
#include "kernels/int8_terms.h"

namespace mach::avx2 {
namespace {

template <class Element>
void widen(const std::byte* x, uint32_t n, float* y) noexcept {
  uint32_t i = 0;
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, Element::load(x + i * Element::kBytes));
  if (i < n) store_part(y + i, n - i, Element::load(x + i * Element::kBytes, n - i));
}

template <class F>
void narrow(const float* x, uint32_t n, std::byte* y, F f) noexcept {
  uint32_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + size_t{2} * i), f(_mm256_loadu_ps(x + i)));
  if (i < n) store_part16(y + size_t{2} * i, n - i, f(load_part(x + i, n - i)));
}

__m128i round_to_bf16(__m256 v) noexcept {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  const __m256i upper = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1));
}

}  // namespace

void f32_from_bf16(const std::byte* x, uint32_t n, float* y) noexcept { widen<BF16>(x, n, y); }
void f32_from_f16(const std::byte* x, uint32_t n, float* y) noexcept { widen<F16>(x, n, y); }
void bf16_from_f32(const float* x, uint32_t n, std::byte* y) noexcept { narrow(x, n, y, round_to_bf16); }
void f16_from_f32(const float* x, uint32_t n, std::byte* y) noexcept {
  narrow(x, n, y, [](__m256 v) { return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT); });
}

void quantize_int8(const float* x, uint32_t n, int8_t* values, float* scales) noexcept {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  const uint32_t padded = (n + 63) / 64 * 64;
  for (uint32_t i = 0; i < padded; i += 32) {
    __m256 v[4];
    for (uint32_t k = 0; k < 4; ++k) {
      const uint32_t at = i + 8 * k;
      v[k] = at + 8 <= n ? _mm256_loadu_ps(x + at) : at < n ? load_part(x + at, n - at) : _mm256_setzero_ps();
    }
    // The largest magnitude, compared as integers so that a NaN counts as larger than everything.
    __m256i most = _mm256_and_si256(_mm256_castps_si256(v[0]), magnitude);
    for (uint32_t k = 1; k < 4; ++k) {
      most = _mm256_max_epi32(most, _mm256_and_si256(_mm256_castps_si256(v[k]), magnitude));
    }
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    const float amax = _mm_cvtss_f32(_mm_castsi128_ps(four));
    auto* out = reinterpret_cast<__m256i*>(values + i);
    if (!(amax >= 1e-30F && amax < __builtin_inff())) {
      scales[i / 32] = amax < 1e-30F ? 0.0F : __builtin_nanf("");
      _mm256_storeu_si256(out, _mm256_setzero_si256());
      continue;
    }
    scales[i / 32] = amax / 127.0F;
    const __m256 inverse = _mm256_set1_ps(127.0F / amax);
    __m256i q[4];
    for (uint32_t k = 0; k < 4; ++k) q[k] = _mm256_cvtps_epi32(_mm256_mul_ps(v[k], inverse));
    // Packing works within 128-bit halves: 4-byte pieces end up in the order 0 2 4 6 1 3 5 7.
    const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    _mm256_storeu_si256(out, _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
  }
}

void refine_int8(const float* x, uint32_t n, const int8_t* values, const float* scales,
                 int8_t* low) noexcept {
  refine_int8_loop(x, n, values, scales, low);
}

void total_int8(const int8_t* values, const int8_t* low, uint32_t n, int32_t* totals) noexcept {
  total_int8_loop(values, low, n, totals);
}

}  // namespace mach::avx2
