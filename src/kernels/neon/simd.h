// Loads, partial loads and sums shared by this folder's files. Internal linkage throughout (see neon_kernels.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include <arm_neon.h>

namespace mach::neon {
namespace {

inline float32x4_t all(float v) noexcept { return vdupq_n_f32(v); }

inline uint32_t smaller(uint32_t a, uint32_t b) noexcept { return a < b ? a : b; }

// How many of the four elements from `first` on exist when there are n.
inline uint32_t part_of(uint32_t n, uint32_t first) noexcept {
  return first >= n ? 0 : smaller(4, n - first);
}

// n in [0, 4] floats; absent lanes are zero and not touched in memory.
inline float32x4_t load_part(const float* p, uint32_t n) noexcept {
  if (n == 4) return vld1q_f32(p);
  float lane[4] = {};
  for (uint32_t i = 0; i < n; ++i) lane[i] = p[i];
  return vld1q_f32(lane);
}
inline void store_part(float* p, uint32_t n, float32x4_t v) noexcept {
  if (n == 4) {
    vst1q_f32(p, v);
    return;
  }
  float lane[4];
  vst1q_f32(lane, v);
  for (uint32_t i = 0; i < n; ++i) p[i] = lane[i];
}

// n in [0, 4] 16-bit numbers, the rest zero.
inline uint16x4_t load_part16(const std::byte* p, uint32_t n) noexcept {
  uint16_t lane[4] = {};
  __builtin_memcpy(lane, p, size_t{2} * n);
  return vld1_u16(lane);
}
inline uint16x4_t load16(const std::byte* p) noexcept {
  return vreinterpret_u16_u8(vld1_u8(reinterpret_cast<const uint8_t*>(p)));
}

// The fixed tree: lanes i and i + 8, then i + 4, i + 2, i + 1.
inline float sum_lanes(const float32x4_t (&v)[4]) noexcept {
  const float32x4_t four = vaddq_f32(vaddq_f32(v[0], v[2]), vaddq_f32(v[1], v[3]));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

inline float32x4_t widen_bf16(uint16x4_t v) noexcept { return vreinterpretq_f32_u32(vshll_n_u16(v, 16)); }
inline float32x4_t widen_f16(uint16x4_t v) noexcept { return vcvt_f32_f16(vreinterpret_f16_u16(v)); }

// How the elements of a row of plain floats are read, four at a time.
struct F32 {
  static constexpr size_t kBytes = 4;
  static float32x4_t load(const std::byte* p) noexcept {
    return vreinterpretq_f32_u8(vld1q_u8(reinterpret_cast<const uint8_t*>(p)));
  }
  static float32x4_t load(const std::byte* p, uint32_t n) noexcept {
    float lane[4] = {};
    __builtin_memcpy(lane, p, size_t{4} * n);
    return vld1q_f32(lane);
  }
};
struct F16 {
  static constexpr size_t kBytes = 2;
  static float32x4_t load(const std::byte* p) noexcept { return widen_f16(load16(p)); }
  static float32x4_t load(const std::byte* p, uint32_t n) noexcept { return widen_f16(load_part16(p, n)); }
};
struct BF16 {
  static constexpr size_t kBytes = 2;
  static float32x4_t load(const std::byte* p) noexcept { return widen_bf16(load16(p)); }
  static float32x4_t load(const std::byte* p, uint32_t n) noexcept { return widen_bf16(load_part16(p, n)); }
};

}  // namespace
}  // namespace mach::neon
