// Scalar decode and encode of the 4- and 8-bit floats that weight codecs use: E2M1 (FP4), E4M3 (FP8, "e4m3fn") and E8M0
// (a power of two). Pure functions, the reference for every vector version.
//
// Sources: OCP Microscaling Formats v1.0 (E2M1, E8M0), OCP 8-bit Floating Point v1.0 (E4M3). E4M3 codes 0x7F and 0xFF and
// E8M0 code 0xFF are NaN by those documents; files that contain them are refused (check_scales, check_codes), and the
// decoders below give 480 and infinity, as the branch-free kernels do.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace mach {

// code = sign(1) exponent(2) fraction(1); 8 is minus zero.
inline constexpr std::array<float, 16> kE2M1 = {0.0F,  0.5F,  1.0F,  1.5F,  2.0F,  3.0F,  4.0F,  6.0F,
                                                -0.0F, -0.5F, -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F};

constexpr float e2m1_to_f32(uint32_t code) noexcept { return kE2M1[code & 15U]; }

// To nearest, ties to the even code; above 6 saturates; NaN gives 6.
constexpr uint8_t f32_to_e2m1(float value) noexcept {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint8_t>((bits >> 28) & 8U);
  const float magnitude = std::bit_cast<float>(bits & 0x7fffffffU);
  if (magnitude != magnitude) return 7;
  if (magnitude > 5.0F) return sign | 7U;
  if (magnitude >= 3.5F) return sign | 6U;
  if (magnitude > 2.5F) return sign | 5U;
  if (magnitude >= 1.75F) return sign | 4U;
  if (magnitude > 1.25F) return sign | 3U;
  if (magnitude >= 0.75F) return sign | 2U;
  if (magnitude > 0.25F) return sign | 1U;
  return sign;
}

// code = sign(1) exponent(4, bias 7) fraction(3); subnormals are multiples of 2^-9, the largest value is 448. The bits
// moved to the fp32 fields give the value times 2^-120 (the difference of the biases), subnormals included.
constexpr float e4m3_to_f32(uint8_t code) noexcept {
  const float magnitude = std::bit_cast<float>((code & 0x7fU) << 20) * 0x1p120F;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | (code & 0x80U) << 24);
}

// To nearest, ties to even; magnitudes of 448 and above, and NaN, give 448.
constexpr uint8_t f32_to_e4m3(float value) noexcept {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 24) & 0x80U;
  uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude >= 0x43e00000U) return static_cast<uint8_t>(sign | 0x7eU);  // 448, infinity, NaN
  if (magnitude <
      0x3c800000U) {  // below 2^-6: adding 2^14 rounds to multiples of 2^-9, the float's last bit there
    const float shifted = std::bit_cast<float>(magnitude) + 0x1p14F;
    return static_cast<uint8_t>(sign | (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0x1p14F)));
  }
  magnitude += 0x7ffffU + ((magnitude >> 20) & 1U);
  const uint32_t code = (magnitude >> 20) - (120U << 3);
  return static_cast<uint8_t>(sign | (code > 0x7eU ? 0x7eU : code));
}

// 2^(code - 127); code 0 is the subnormal 2^-127.
constexpr float e8m0_to_f32(uint8_t code) noexcept {
  return std::bit_cast<float>(code == 0 ? 0x00400000U : static_cast<uint32_t>(code) << 23);
}

constexpr bool e4m3_is_nan(uint8_t code) noexcept { return (code & 0x7fU) == 0x7fU; }
constexpr bool e8m0_is_nan(uint8_t code) noexcept { return code == 0xffU; }

}  // namespace mach
