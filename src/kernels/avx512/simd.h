// Loads, partial loads and sums shared by this folder's files. Internal linkage throughout (see avx512_kernels.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

namespace mach::avx512 {
namespace {

// The first n lanes of 16; n above 16 means all.
inline __mmask16 first_lanes(uint32_t n) noexcept {
  return static_cast<__mmask16>(n >= 16 ? 0xffffU : (1U << n) - 1U);
}

inline __m512 all(float v) noexcept { return _mm512_set1_ps(v); }
inline __m512 load_part(const float* p, __mmask16 lanes) noexcept { return _mm512_maskz_loadu_ps(lanes, p); }
inline void store_part(float* p, __mmask16 lanes, __m512 v) noexcept { _mm512_mask_storeu_ps(p, lanes, v); }

// The fixed tree: lanes i and i + 8, then i + 4, i + 2, i + 1.
inline float sum_lanes(__m512 v) noexcept {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

inline __m128i load16(const void* p) noexcept { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline __m256i load32(const void* p) noexcept { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline __m128i load8(const void* p) noexcept { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }

inline __m512 widen_bf16(__m256i v) noexcept {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
}

// How the elements of a row of plain floats are read, sixteen at a time; absent ones are zero and not touched in memory.
struct F32 {
  static constexpr size_t kBytes = 4;
  static __m512 load(const std::byte* p, __mmask16 lanes) noexcept { return _mm512_maskz_loadu_ps(lanes, p); }
  static __m512 load(const std::byte* p) noexcept { return _mm512_loadu_ps(p); }
};
struct F16 {
  static constexpr size_t kBytes = 2;
  static __m512 load(const std::byte* p, __mmask16 lanes) noexcept {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, p));
  }
  static __m512 load(const std::byte* p) noexcept { return _mm512_cvtph_ps(load32(p)); }
};
struct BF16 {
  static constexpr size_t kBytes = 2;
  static __m512 load(const std::byte* p, __mmask16 lanes) noexcept {
    return widen_bf16(_mm256_maskz_loadu_epi16(lanes, p));
  }
  static __m512 load(const std::byte* p) noexcept { return widen_bf16(load32(p)); }
};

}  // namespace
}  // namespace mach::avx512
