#include "base/half.h"

#include <array>
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace mach {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// The specification of rounding: of the representable neighbours of `value` the nearest, on a tie the one with an even
// code. Codes of one sign ascend with their values, so the neighbours are found by bisection.
template <class Decode>
uint16_t nearest_code(double value, uint16_t infinity, const Decode& decode) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(value);
  uint16_t low = 0;  // decode(low) <= magnitude
  uint16_t high = infinity;
  while (high - low > 1) {
    const auto middle = static_cast<uint16_t>((low + high) / 2);
    (decode(middle) <= magnitude ? low : high) = middle;
  }
  const double below = decode(low);
  // IEEE 754 rounds to infinity as if the next larger finite number existed.
  const double above =
      high == infinity ? below + (below - decode(static_cast<uint16_t>(low - 1))) : decode(high);
  const double down = magnitude - below;
  const double up = above - magnitude;
  const bool take_high = up < down || (up == down && (low & 1) != 0);
  return static_cast<uint16_t>(sign | (take_high ? high : low));
}

double decode_bf16(uint16_t code) { return std::bit_cast<float>(static_cast<uint32_t>(code) << 16); }

double decode_f16(uint16_t code) {
  const int exponent = (code >> 10) & 31;
  const int fraction = code & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return (code & 0x8000) != 0 ? -magnitude : magnitude;
}

TEST(Half, EveryF16CodeDecodesAndComesBack) {
  for (uint32_t code = 0; code <= 0xffff; ++code) {
    const auto h = static_cast<uint16_t>(code);
    const float value = f16_to_f32(h);
    if ((h & 0x7fff) > 0x7c00) {
      EXPECT_TRUE(std::isnan(value));
      EXPECT_EQ(f32_to_f16(value), h | 0x200);
    } else if ((h & 0x7fff) == 0x7c00) {
      EXPECT_EQ(value, h == 0x7c00 ? kInf : -kInf);
    } else {
      ASSERT_EQ(static_cast<double>(value), decode_f16(h)) << code;
      ASSERT_EQ(std::signbit(value), (h & 0x8000) != 0);
      ASSERT_EQ(f32_to_f16(value), h) << code;
    }
  }
}

TEST(Half, EveryBf16CodeComesBack) {
  for (uint32_t code = 0; code <= 0xffff; ++code) {
    const auto h = static_cast<uint16_t>(code);
    const bool nan = (h & 0x7fff) > 0x7f80;
    ASSERT_EQ(f32_to_bf16(bf16_to_f32(h)), nan ? h | 0x40 : h) << code;
  }
}

TEST(Half, RoundsToNearestEvenOverAllMagnitudes) {
  std::mt19937 random(20250101);
  std::uniform_int_distribution<uint32_t> bits(0, 0x7f7fffff);
  for (int i = 0; i < 300'000; ++i) {
    uint32_t pattern = bits(random);
    if (i % 4 == 1) pattern &= 0xffff8000U;  // bf16 codes and exact ties between them
    if (i % 4 == 2) pattern = (pattern & 0x0fffffffU) % 0x10000000U + 0x32000000U;  // around the range of f16
    if (i % 4 == 3) pattern = ((pattern & 0x0ffff000U) + 0x33000000U);  // f16 codes and exact ties
    const float value = std::bit_cast<float>(pattern | (i % 2 != 0 ? 0x80000000U : 0U));
    ASSERT_EQ(f32_to_bf16(value), nearest_code(value, 0x7f80, decode_bf16)) << value;
    ASSERT_EQ(f32_to_f16(value), nearest_code(value, 0x7c00, decode_f16)) << value;
  }
}

TEST(Half, EdgesOfTheF16Range) {
  EXPECT_EQ(f32_to_f16(65504.0F), 0x7bff);
  EXPECT_EQ(f32_to_f16(std::nextafter(65520.0F, 0.0F)), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0F), 0x7c00);
  EXPECT_EQ(f32_to_f16(-kInf), 0xfc00);
  EXPECT_EQ(f32_to_f16(0x1p-14F), 0x0400);
  EXPECT_EQ(f32_to_f16(std::nextafter(0x1p-14F, 0.0F)), 0x0400);
  EXPECT_EQ(f32_to_f16(0x1p-24F), 0x0001);
  EXPECT_EQ(f32_to_f16(0x1p-25F), 0x0000);
  EXPECT_EQ(f32_to_f16(std::nextafter(0x1p-25F, 1.0F)), 0x0001);
  EXPECT_EQ(f32_to_f16(-0.0F), 0x8000);
}

TEST(Half, ANaNStaysANaNEvenWhenItsPayloadIsCutOff) {
  const float low_payload = std::bit_cast<float>(0x7f800001U);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(low_payload))));
  EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(low_payload))));
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
}

TEST(Half, WorksAtCompileTime) {
  static_assert(f32_to_bf16(1.0F) == 0x3f80 && bf16_to_f32(0x4049) == 3.140625F);
  static_assert(f32_to_f16(1.5F) == 0x3e00 && f16_to_f32(0xc000) == -2.0F && f16_to_f32(0x0001) == 0x1p-24F);
}

TEST(Half, LoadsAndStoresAtOddAddresses) {
  std::array<std::byte, 8> bytes{};
  store_unaligned<uint16_t>(&bytes[1], 0x3fc0);
  EXPECT_EQ(load_bf16(&bytes[1]), 1.5F);
  store_unaligned<uint16_t>(&bytes[3], 0x3e00);
  EXPECT_EQ(load_f16(&bytes[3]), 1.5F);
  store_unaligned<float>(&bytes[3], -2.25F);
  EXPECT_EQ(load_f32(&bytes[3]), -2.25F);
}

}  // namespace
}  // namespace mach
