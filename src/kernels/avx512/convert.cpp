// Conversions between fp32 and the 16-bit floats, and quantisation of activations.
#include "kernels/avx512/avx512_kernels.h"
#include "kernels/avx512/simd.h"

namespace mach::avx512 {
namespace {

template <class Element>
void widen(const std::byte* x, uint32_t n, float* y) noexcept {
  for (uint32_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = first_lanes(n - i);
    store_part(y + i, lanes, Element::load(x + i * Element::kBytes, lanes));
  }
}

template <class F>
void narrow(const float* x, uint32_t n, std::byte* y, F f) noexcept {
  for (uint32_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = first_lanes(n - i);
    _mm256_mask_storeu_epi16(y + size_t{2} * i, lanes, f(load_part(x + i, lanes)));
  }
}

__m256i round_to_bf16(__m512 v) noexcept {
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, quiet), 16));
}

}  // namespace

void f32_from_bf16(const std::byte* x, uint32_t n, float* y) noexcept { widen<BF16>(x, n, y); }
void f32_from_f16(const std::byte* x, uint32_t n, float* y) noexcept { widen<F16>(x, n, y); }
void bf16_from_f32(const float* x, uint32_t n, std::byte* y) noexcept { narrow(x, n, y, round_to_bf16); }
void f16_from_f32(const float* x, uint32_t n, std::byte* y) noexcept {
  narrow(x, n, y, [](__m512 v) { return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); });
}

void quantize_int8(const float* x, uint32_t n, int8_t* values, float* scales) noexcept {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  const uint32_t padded = (n + 63) / 64 * 64;
  for (uint32_t i = 0; i < padded; i += 32) {
    const uint32_t left = i < n ? n - i : 0;
    const __m512 a = load_part(x + i, first_lanes(left));
    const __m512 b = load_part(x + i + 16, first_lanes(left < 16 ? 0 : left - 16));
    // The largest magnitude, compared as integers so that a NaN counts as larger than everything.
    const __m512i most = _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(a), magnitude),
                                          _mm512_and_si512(_mm512_castps_si512(b), magnitude));
    const float amax = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(_mm512_reduce_max_epi32(most))));
    auto* out = reinterpret_cast<__m128i*>(values + i);
    if (!(amax >= 1e-30F && amax < __builtin_inff())) {
      scales[i / 32] = amax < 1e-30F ? 0.0F : __builtin_nanf("");
      _mm_storeu_si128(out, _mm_setzero_si128());
      _mm_storeu_si128(out + 1, _mm_setzero_si128());
      continue;
    }
    scales[i / 32] = amax / 127.0F;
    const __m512 inverse = all(127.0F / amax);
    _mm_storeu_si128(out, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(a, inverse))));
    _mm_storeu_si128(out + 1, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(b, inverse))));
  }
}

void refine_int8(const float* x, uint32_t n, const int8_t* values, const float* scales,
                 int8_t* low) noexcept {
  const uint32_t padded = (n + 63) / 64 * 64;
  for (uint32_t i = 0; i < padded; i += 16) {
    const float scale = scales[i / 32];
    auto* out = reinterpret_cast<__m128i*>(low + i);
    if (i >= n || !(scale > 0.0F)) {
      _mm_storeu_si128(out, _mm_setzero_si128());
      continue;
    }
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(values + i));
    const __m512 first = _mm512_mul_ps(all(scale), _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)));
    __m512 rest =
        _mm512_mul_ps(_mm512_sub_ps(load_part(x + i, first_lanes(n - i)), first), all(256.0F / scale));
    rest = _mm512_min_ps(_mm512_max_ps(rest, all(-127.0F)), all(127.0F));
    _mm_storeu_si128(out, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(rest)));
  }
}

void total_int8(const int8_t* values, const int8_t* low, uint32_t n, int32_t* totals) noexcept {
  const __m512i ones = _mm512_set1_epi8(1);
  // Sums of 16 in every fourth lane.
  const auto sums = [&](const int8_t* p) {
    __m512i sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, _mm512_loadu_si512(p));
    sum = _mm512_add_epi32(sum, _mm512_shuffle_epi32(sum, _MM_PERM_CDAB));
    return _mm512_add_epi32(sum, _mm512_shuffle_epi32(sum, _MM_PERM_BADC));
  };
  for (uint32_t i = 0; i < n; i += 64) {
    __m512i sum = sums(values + i);
    if (low != nullptr) sum = _mm512_add_epi32(_mm512_slli_epi32(sum, 8), sums(low + i));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(totals + i / 16),
                     _mm512_castsi512_si128(_mm512_maskz_compress_epi32(0x1111, sum)));
  }
}

}  // namespace mach::avx512
