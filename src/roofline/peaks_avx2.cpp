#include <immintrin.h>

#include "roofline/peaks_loops.h"
#include "roofline/peaks_x86.h"

namespace mach::roofline::avx2 {

uint64_t read(const std::byte* data, size_t bytes) {
  using Vector = uint64_t __attribute__((vector_size(32), may_alias));
  return read_all<Vector>(data, bytes);
}

float fp32(uint64_t steps) {
  constexpr int kChains = 12;
  __m256 sums[kChains];
#pragma GCC unroll 16
  for (int k = 0; k < kChains; ++k) sums[k] = _mm256_set1_ps(static_cast<float>(k));
  const __m256 factor = _mm256_set1_ps(0.999F);
  const __m256 term = _mm256_set1_ps(0.001F);
  for (uint64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < kChains; ++k) sums[k] = _mm256_fmadd_ps(sums[k], factor, term);
  }
  __m256 sum = _mm256_setzero_ps();
#pragma GCC unroll 16
  for (int k = 0; k < kChains; ++k) sum = _mm256_add_ps(sum, sums[k]);
  return _mm256_cvtss_f32(sum);
}

int32_t int8(uint64_t steps) {
  constexpr int kChains = 8;
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i codes[kChains];
  __m256i sums[kChains];
#pragma GCC unroll 16
  for (int k = 0; k < kChains; ++k) {
    codes[k] = _mm256_set1_epi8(static_cast<char>(k));
    sums[k] = _mm256_setzero_si256();
  }
  __m256i x = _mm256_set1_epi8(3);
  for (uint64_t i = 0; i < steps; ++i) {
    __asm__ volatile("" : "+x"(x));  // a new operand as far as the compiler knows
#pragma GCC unroll 16
    for (int k = 0; k < kChains; ++k) {
      sums[k] = _mm256_add_epi32(sums[k], _mm256_madd_epi16(_mm256_maddubs_epi16(codes[k], x), ones));
    }
  }
  __m256i sum = _mm256_setzero_si256();
#pragma GCC unroll 16
  for (int k = 0; k < kChains; ++k) sum = _mm256_add_epi32(sum, sums[k]);
  return _mm256_cvtsi256_si32(sum);
}

}  // namespace mach::roofline::avx2
