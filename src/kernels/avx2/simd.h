// Loads, partial loads and sums shared by this folder's files. Internal linkage throughout (see avx2_kernels.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

namespace mach::avx2 {
namespace {

// Masks of the first n lanes, n in [0, 8]: 8 integers from kMask + 8 - n on.
alignas(32) inline constexpr int32_t kMask[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

inline __m256i first_lanes(uint32_t n) noexcept {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMask + 8 - n));
}

// n in [0, 8] floats; absent lanes are zero and not touched in memory.
inline __m256 load_part(const float* p, uint32_t n) noexcept { return _mm256_maskload_ps(p, first_lanes(n)); }
inline void store_part(float* p, uint32_t n, __m256 v) noexcept { _mm256_maskstore_ps(p, first_lanes(n), v); }

// min(n, 8), and what is left above 8: how a step of 16 splits into two registers.
inline uint32_t low_part(uint32_t n) noexcept { return n < 8 ? n : 8; }
inline uint32_t high_part(uint32_t n) noexcept { return n < 8 ? 0 : n - 8; }

// The fixed tree: lanes i and i + 8, then i + 4, i + 2, i + 1.
inline float sum_lanes(__m256 low, __m256 high) noexcept {
  const __m256 eight = _mm256_add_ps(low, high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

inline __m128i load16(const void* p) noexcept { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline __m256i load32(const void* p) noexcept { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline __m128i load8(const void* p) noexcept { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }
inline int32_t load4(const void* p) noexcept { return _mm_cvtsi128_si32(_mm_loadu_si32(p)); }

inline __m256 widen_bf16(__m128i v) noexcept {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
}
inline __m256 widen_f16(__m128i v) noexcept { return _mm256_cvtph_ps(v); }

// Up to 8 16-bit numbers, the rest zero.
inline __m128i load_part16(const std::byte* p, uint32_t n) noexcept {
  alignas(16) uint16_t lane[8] = {};
  auto* bytes = reinterpret_cast<unsigned char*>(lane);
  for (uint32_t i = 0; i < 2 * n; ++i) bytes[i] = static_cast<unsigned char>(p[i]);
  return _mm_load_si128(reinterpret_cast<const __m128i*>(lane));
}
inline void store_part16(std::byte* p, uint32_t n, __m128i v) noexcept {
  alignas(16) uint16_t lane[8];
  _mm_store_si128(reinterpret_cast<__m128i*>(lane), v);
  const auto* bytes = reinterpret_cast<const unsigned char*>(lane);
  for (uint32_t i = 0; i < 2 * n; ++i) p[i] = static_cast<std::byte>(bytes[i]);
}

// How the elements of a row of plain floats are read, eight at a time.
struct F32 {
  static constexpr size_t kBytes = 4;
  static __m256 load(const std::byte* p) noexcept {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
  }
  static __m256 load(const std::byte* p, uint32_t n) noexcept {
    return load_part(reinterpret_cast<const float*>(p), n);
  }
};
struct F16 {
  static constexpr size_t kBytes = 2;
  static __m256 load(const std::byte* p) noexcept { return widen_f16(load16(p)); }
  static __m256 load(const std::byte* p, uint32_t n) noexcept { return widen_f16(load_part16(p, n)); }
};
struct BF16 {
  static constexpr size_t kBytes = 2;
  static __m256 load(const std::byte* p) noexcept { return widen_bf16(load16(p)); }
  static __m256 load(const std::byte* p, uint32_t n) noexcept { return widen_bf16(load_part16(p, n)); }
};

}  // namespace
}  // namespace mach::avx2
