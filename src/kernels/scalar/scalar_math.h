// exp, sigmoid and tanh in fp32 as a fixed sequence of IEEE operations, so that a vector version which performs the same
// sequence gives the same bits. exp is within 1 ulp (0.9 measured over all floats), tanh within 2.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace mach::scalar {

// Smallest and largest argument worth computing: exp(-104) rounds to 0, exp(89) overflows to infinity.
inline constexpr float kExpLow = -104.0F;
inline constexpr float kExpHigh = 89.0F;
inline constexpr float kLog2E = 0x1.715476p+0F;
inline constexpr float kLn2High = 0x1.62e4p-1F;  // 15 bits, so that n * kLn2High is exact
inline constexpr float kLn2Low = 0x1.7f7d1cp-20F;
// exp(r) = 1 + r + r^2 (c0 + c1 r + ...), |r| <= ln(2) / 2: minimax in relative error, 3.1e-9 before rounding
inline constexpr float kExpC[5] = {0x1.fffffcp-2F, 0x1.555492p-3F, 0x1.5558f2p-5F, 0x1.123a0ap-7F,
                                   0x1.6a23f2p-10F};

// min and max as the vector instructions define them: the second operand where one is NaN.
inline float min_x86(float a, float b) noexcept { return a < b ? a : b; }
inline float max_x86(float a, float b) noexcept { return a > b ? a : b; }

inline float power_of_two(int32_t n) noexcept { return std::bit_cast<float>((n + 127) << 23); }

inline float exp_f32(float x) noexcept {
  if (x != x) return x;
  x = max_x86(kExpLow, min_x86(kExpHigh, x));
  const float n = std::nearbyint(x * kLog2E);
  float r = std::fma(n, -kLn2High, x);
  r = std::fma(n, -kLn2Low, r);
  float p = kExpC[4];
  p = std::fma(p, r, kExpC[3]);
  p = std::fma(p, r, kExpC[2]);
  p = std::fma(p, r, kExpC[1]);
  p = std::fma(p, r, kExpC[0]);
  p = std::fma(p, r, 1.0F);
  p = std::fma(p, r, 1.0F);
  // In two steps, since n reaches from -150 to 128: the first product is exact, the second rounds to a subnormal or to
  // infinity where it must.
  const auto whole = static_cast<int32_t>(n);
  const int32_t half = whole >> 1;
  return p * power_of_two(half) * power_of_two(whole - half);
}

// x / (1 + exp(-t)): sigmoid(x) with x = 1, silu(x) with t = x.
inline float over_one_plus_exp(float x, float t) noexcept { return x / (1.0F + exp_f32(-t)); }

// tanh(z) = z + z s P(s), s = z^2, below kTanhSmall: minimax in relative error, 1.8e-9 before rounding
inline constexpr float kTanhSmall = 0.55F;
inline constexpr float kTanhC[5] = {-0x1.55554cp-2F, 0x1.110d5ap-3F, -0x1.b92718p-5F, 0x1.58fa72p-6F,
                                    -0x1.98de76p-8F};

inline float tanh_f32(float z) noexcept {
  const float a = std::fabs(z);
  if (a < kTanhSmall) {
    const float s = z * z;
    float p = kTanhC[4];
    p = std::fma(p, s, kTanhC[3]);
    p = std::fma(p, s, kTanhC[2]);
    p = std::fma(p, s, kTanhC[1]);
    p = std::fma(p, s, kTanhC[0]);
    return std::fma(p * s, z, z);
  }
  const float t = 1.0F - 2.0F / (exp_f32(a + a) + 1.0F);
  return std::copysign(t, z);
}

}  // namespace mach::scalar
