// exp, sigmoid and tanh, four at a time: the operations of scalar/scalar_math.h in the same order, hence the same bits.
#pragma once

#include "kernels/neon/simd.h"

namespace mach::neon {
namespace {

// As the x86 instructions define them: the second operand where one is NaN.
inline float32x4_t min_x86(float32x4_t a, float32x4_t b) noexcept { return vbslq_f32(vcltq_f32(a, b), a, b); }
inline float32x4_t max_x86(float32x4_t a, float32x4_t b) noexcept { return vbslq_f32(vcgtq_f32(a, b), a, b); }

inline float32x4_t power_of_two(int32x4_t n) noexcept {
  return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}

inline float32x4_t exp4(float32x4_t x) noexcept {
  x = max_x86(all(-104.0F), min_x86(all(89.0F), x));  // a NaN is the second operand and passes through
  const float32x4_t n = vrndnq_f32(vmulq_f32(x, all(0x1.715476p+0F)));
  float32x4_t r = vfmsq_f32(x, n, all(0x1.62e4p-1F));
  r = vfmsq_f32(r, n, all(0x1.7f7d1cp-20F));
  float32x4_t p = all(0x1.6a23f2p-10F);
  p = vfmaq_f32(all(0x1.123a0ap-7F), p, r);
  p = vfmaq_f32(all(0x1.5558f2p-5F), p, r);
  p = vfmaq_f32(all(0x1.555492p-3F), p, r);
  p = vfmaq_f32(all(0x1.fffffcp-2F), p, r);
  p = vfmaq_f32(all(1.0F), p, r);
  p = vfmaq_f32(all(1.0F), p, r);
  const int32x4_t whole = vcvtq_s32_f32(n);
  const int32x4_t half = vshrq_n_s32(whole, 1);
  return vmulq_f32(vmulq_f32(p, power_of_two(half)), power_of_two(vsubq_s32(whole, half)));
}

// x / (1 + exp(-t))
inline float32x4_t over_one_plus_exp(float32x4_t x, float32x4_t t) noexcept {
  return vdivq_f32(x, vaddq_f32(all(1.0F), exp4(vnegq_f32(t))));
}

inline float32x4_t tanh4(float32x4_t z) noexcept {
  const float32x4_t a = vabsq_f32(z);
  const float32x4_t s = vmulq_f32(z, z);
  float32x4_t p = all(-0x1.98de76p-8F);
  p = vfmaq_f32(all(0x1.58fa72p-6F), p, s);
  p = vfmaq_f32(all(-0x1.b92718p-5F), p, s);
  p = vfmaq_f32(all(0x1.110d5ap-3F), p, s);
  p = vfmaq_f32(all(-0x1.55554cp-2F), p, s);
  const float32x4_t small = vfmaq_f32(z, vmulq_f32(p, s), z);
  const float32x4_t quotient = vdivq_f32(all(2.0F), vaddq_f32(exp4(vaddq_f32(a, a)), all(1.0F)));
  const float32x4_t large = vbslq_f32(vdupq_n_u32(0x80000000U), z, vsubq_f32(all(1.0F), quotient));
  return vbslq_f32(vcltq_f32(a, all(0.55F)), small, large);
}

}  // namespace
}  // namespace mach::neon
