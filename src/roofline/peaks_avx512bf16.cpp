#include <immintrin.h>

#include "roofline/peaks_x86.h"

namespace mach::roofline::avx512bf16 {

float bf16(uint64_t steps) {
  constexpr int kChains = 12;
  __m512 sums[kChains];
#pragma GCC unroll 16
  for (int k = 0; k < kChains; ++k) sums[k] = _mm512_set1_ps(static_cast<float>(k));
  __m512i bits = _mm512_set1_epi16(0x3f80);  // 1
  const auto factor = (__m512bh)_mm512_set1_epi16(0x3c00);
  for (uint64_t i = 0; i < steps; ++i) {
    __asm__ volatile("" : "+v"(bits));  // a new operand as far as the compiler knows
#pragma GCC unroll 16
    for (int k = 0; k < kChains; ++k) sums[k] = _mm512_dpbf16_ps(sums[k], (__m512bh)bits, factor);
  }
  __m512 sum = _mm512_setzero_ps();
#pragma GCC unroll 16
  for (int k = 0; k < kChains; ++k) sum = _mm512_add_ps(sum, sums[k]);
  return _mm512_cvtss_f32(sum);
}

}  // namespace mach::roofline::avx512bf16
