// Scalar conversions between fp32 and the 16-bit floats, bit-exact and constexpr: the reference for every
// vector version. Rounding is to nearest, ties to even; overflow gives infinity; a NaN stays a NaN (made
// quiet).
//   bf16: the upper half of an fp32 (8 exponent bits, 7 fraction bits)
//   f16:  IEEE 754 binary16 (5 exponent bits, 10 fraction bits), subnormals kept
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace mach {

constexpr float bf16_to_f32(uint16_t h) noexcept {
  return std::bit_cast<float>(static_cast<uint32_t>(h) << 16);
}

constexpr uint16_t f32_to_bf16(float value) noexcept {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<uint16_t>((bits >> 16) | 0x40U);
  return static_cast<uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

constexpr float f16_to_f32(uint16_t h) noexcept {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000U) << 16;
  const uint32_t exponent = (h >> 10) & 0x1fU;
  const uint32_t fraction = h & 0x3ffU;
  if (exponent == 0) {  // zero or subnormal: fraction * 2^-24, exact in fp32
    const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  if (exponent == 0x1f) {
    const uint32_t quiet = fraction != 0 ? 0x400000U : 0U;
    return std::bit_cast<float>(sign | 0x7f800000U | quiet | (fraction << 13));
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
}

constexpr uint16_t f32_to_f16(float value) noexcept {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000U);
  const uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return static_cast<uint16_t>(sign | 0x7e00U | ((magnitude >> 13) & 0x1ffU));
  if (magnitude >= 0x477ff000U)
    return static_cast<uint16_t>(sign | 0x7c00U);  // 65520 and above round to infinity
  if (magnitude >= 0x38800000U) {                  // normal: 2^-14 and above
    const uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U);
    return static_cast<uint16_t>(sign | ((rounded >> 13) - (112U << 10)));
  }
  if (magnitude <= 0x33000000U) return sign;       // 2^-25 and below round to zero
  const uint32_t shift = 126 - (magnitude >> 23);  // the fraction as a multiple of 2^-24
  const uint32_t fraction = (magnitude & 0x7fffffU) | 0x800000U;
  const uint32_t whole = fraction >> shift;
  const uint32_t rest = fraction & ((1U << shift) - 1);
  const uint32_t half = 1U << (shift - 1);
  const bool up = rest > half || (rest == half && (whole & 1U) != 0);
  return static_cast<uint16_t>(sign | (whole + (up ? 1U : 0U)));
}

// Little-endian loads and stores at any address.
template <class T>
T load_unaligned(const std::byte* p) noexcept {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}
template <class T>
void store_unaligned(std::byte* p, T value) noexcept {
  std::memcpy(p, &value, sizeof(T));
}

inline float load_f32(const std::byte* p) noexcept { return load_unaligned<float>(p); }
inline float load_bf16(const std::byte* p) noexcept { return bf16_to_f32(load_unaligned<uint16_t>(p)); }
inline float load_f16(const std::byte* p) noexcept { return f16_to_f32(load_unaligned<uint16_t>(p)); }

}  // namespace mach
