// exp, sigmoid and tanh, eight at a time: the operations of scalar/scalar_math.h in the same order, hence the same bits.
#pragma once

#include "kernels/avx2/simd.h"

namespace mach::avx2 {
namespace {

inline __m256 all(float v) noexcept { return _mm256_set1_ps(v); }

inline __m256 power_of_two(__m256i n) noexcept {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

inline __m256 exp8(__m256 x) noexcept {
  x = _mm256_max_ps(all(-104.0F),
                    _mm256_min_ps(all(89.0F), x));  // a NaN is the second operand and passes through
  const __m256 n =
      _mm256_round_ps(_mm256_mul_ps(x, all(0x1.715476p+0F)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 r = _mm256_fnmadd_ps(n, all(0x1.62e4p-1F), x);
  r = _mm256_fnmadd_ps(n, all(0x1.7f7d1cp-20F), r);
  __m256 p = all(0x1.6a23f2p-10F);
  p = _mm256_fmadd_ps(p, r, all(0x1.123a0ap-7F));
  p = _mm256_fmadd_ps(p, r, all(0x1.5558f2p-5F));
  p = _mm256_fmadd_ps(p, r, all(0x1.555492p-3F));
  p = _mm256_fmadd_ps(p, r, all(0x1.fffffcp-2F));
  p = _mm256_fmadd_ps(p, r, all(1.0F));
  p = _mm256_fmadd_ps(p, r, all(1.0F));
  const __m256i whole = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  return _mm256_mul_ps(_mm256_mul_ps(p, power_of_two(half)), power_of_two(_mm256_sub_epi32(whole, half)));
}

inline __m256 negate(__m256 x) noexcept { return _mm256_xor_ps(x, all(-0.0F)); }

// x / (1 + exp(-t))
inline __m256 over_one_plus_exp(__m256 x, __m256 t) noexcept {
  return _mm256_div_ps(x, _mm256_add_ps(all(1.0F), exp8(negate(t))));
}

inline __m256 tanh8(__m256 z) noexcept {
  const __m256 sign = _mm256_and_ps(z, all(-0.0F));
  const __m256 a = _mm256_andnot_ps(all(-0.0F), z);
  const __m256 s = _mm256_mul_ps(z, z);
  __m256 p = all(-0x1.98de76p-8F);
  p = _mm256_fmadd_ps(p, s, all(0x1.58fa72p-6F));
  p = _mm256_fmadd_ps(p, s, all(-0x1.b92718p-5F));
  p = _mm256_fmadd_ps(p, s, all(0x1.110d5ap-3F));
  p = _mm256_fmadd_ps(p, s, all(-0x1.55554cp-2F));
  const __m256 small = _mm256_fmadd_ps(_mm256_mul_ps(p, s), z, z);
  const __m256 quotient = _mm256_div_ps(all(2.0F), _mm256_add_ps(exp8(_mm256_add_ps(a, a)), all(1.0F)));
  const __m256 large = _mm256_or_ps(_mm256_sub_ps(all(1.0F), quotient), sign);
  return _mm256_blendv_ps(large, small, _mm256_cmp_ps(a, all(0.55F), _CMP_LT_OQ));
}

}  // namespace
}  // namespace mach::avx2
