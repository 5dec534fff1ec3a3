#include <immintrin.h>

#include "roofline/peaks_loops.h"
#include "roofline/peaks_x86.h"

namespace mach::roofline::avx512 {

uint64_t read(const std::byte* data, size_t bytes) {
  using Vector = uint64_t __attribute__((vector_size(64), may_alias));
  return read_all<Vector>(data, bytes);
}

float fp32(uint64_t steps) {
  constexpr int kChains = 12;
  __m512 sums[kChains];
#pragma GCC unroll 16
  for (int k = 0; k < kChains; ++k) sums[k] = _mm512_set1_ps(static_cast<float>(k));
  const __m512 factor = _mm512_set1_ps(0.999F);
  const __m512 term = _mm512_set1_ps(0.001F);
  for (uint64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < kChains; ++k) sums[k] = _mm512_fmadd_ps(sums[k], factor, term);
  }
  __m512 sum = _mm512_setzero_ps();
#pragma GCC unroll 16
  for (int k = 0; k < kChains; ++k) sum = _mm512_add_ps(sum, sums[k]);
  return _mm512_cvtss_f32(sum);
}

int32_t int8(uint64_t steps) {
  constexpr int kChains = 12;
  __m512i sums[kChains];
#pragma GCC unroll 16
  for (int k = 0; k < kChains; ++k) sums[k] = _mm512_set1_epi32(k);
  __m512i codes = _mm512_set1_epi8(5);
  const __m512i x = _mm512_set1_epi8(3);
  for (uint64_t i = 0; i < steps; ++i) {
    __asm__ volatile("" : "+v"(codes));  // a new operand as far as the compiler knows
#pragma GCC unroll 16
    for (int k = 0; k < kChains; ++k) sums[k] = _mm512_dpbusd_epi32(sums[k], codes, x);
  }
  __m512i sum = _mm512_setzero_si512();
#pragma GCC unroll 16
  for (int k = 0; k < kChains; ++k) sum = _mm512_add_epi32(sum, sums[k]);
  return _mm512_cvtsi512_si32(sum);
}

}  // namespace mach::roofline::avx512
