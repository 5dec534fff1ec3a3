// exp, sigmoid and tanh, sixteen at a time: the operations of scalar/scalar_math.h in the same order, hence the same bits.
#pragma once

#include "kernels/avx512/simd.h"

namespace mach::avx512 {
namespace {

inline __m512 power_of_two(__m512i n) noexcept {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(127)), 23));
}

inline __m512 exp16(__m512 x) noexcept {
  x = _mm512_max_ps(all(-104.0F),
                    _mm512_min_ps(all(89.0F), x));  // a NaN is the second operand and passes through
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, all(0x1.715476p+0F)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fnmadd_ps(n, all(0x1.62e4p-1F), x);
  r = _mm512_fnmadd_ps(n, all(0x1.7f7d1cp-20F), r);
  __m512 p = all(0x1.6a23f2p-10F);
  p = _mm512_fmadd_ps(p, r, all(0x1.123a0ap-7F));
  p = _mm512_fmadd_ps(p, r, all(0x1.5558f2p-5F));
  p = _mm512_fmadd_ps(p, r, all(0x1.555492p-3F));
  p = _mm512_fmadd_ps(p, r, all(0x1.fffffcp-2F));
  p = _mm512_fmadd_ps(p, r, all(1.0F));
  p = _mm512_fmadd_ps(p, r, all(1.0F));
  const __m512i whole = _mm512_cvtps_epi32(n);
  const __m512i half = _mm512_srai_epi32(whole, 1);
  return _mm512_mul_ps(_mm512_mul_ps(p, power_of_two(half)), power_of_two(_mm512_sub_epi32(whole, half)));
}

inline __m512 negate(__m512 x) noexcept { return _mm512_xor_ps(x, all(-0.0F)); }

// x / (1 + exp(-t))
inline __m512 over_one_plus_exp(__m512 x, __m512 t) noexcept {
  return _mm512_div_ps(x, _mm512_add_ps(all(1.0F), exp16(negate(t))));
}

inline __m512 tanh16(__m512 z) noexcept {
  const __m512 sign = _mm512_and_ps(z, all(-0.0F));
  const __m512 a = _mm512_andnot_ps(all(-0.0F), z);
  const __m512 s = _mm512_mul_ps(z, z);
  __m512 p = all(-0x1.98de76p-8F);
  p = _mm512_fmadd_ps(p, s, all(0x1.58fa72p-6F));
  p = _mm512_fmadd_ps(p, s, all(-0x1.b92718p-5F));
  p = _mm512_fmadd_ps(p, s, all(0x1.110d5ap-3F));
  p = _mm512_fmadd_ps(p, s, all(-0x1.55554cp-2F));
  const __m512 small = _mm512_fmadd_ps(_mm512_mul_ps(p, s), z, z);
  const __m512 quotient = _mm512_div_ps(all(2.0F), _mm512_add_ps(exp16(_mm512_add_ps(a, a)), all(1.0F)));
  const __m512 large = _mm512_or_ps(_mm512_sub_ps(all(1.0F), quotient), sign);
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, all(0.55F), _CMP_LT_OQ), large, small);
}

}  // namespace
}  // namespace mach::avx512
