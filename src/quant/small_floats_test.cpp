#include "quant/small_floats.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace mach {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(SmallFloats, E4M3HasTheValuesOfItsDefinition) {
  for (uint32_t code = 0; code < 256; ++code) {
    if (e4m3_is_nan(static_cast<uint8_t>(code))) continue;
    const uint32_t exponent = (code >> 3) & 15U;
    const double fraction = code & 7U;
    double value =
        exponent == 0 ? fraction * 0x1p-9 : std::ldexp(1.0 + fraction / 8.0, static_cast<int>(exponent) - 7);
    if (code >= 128) value = -value;
    EXPECT_EQ(e4m3_to_f32(static_cast<uint8_t>(code)), value) << code;
  }
  EXPECT_EQ(e4m3_to_f32(0x7e), 448.0F);
  EXPECT_TRUE(std::signbit(e4m3_to_f32(0x80)));
}

// The code whose value is nearest, the even one of two equally near.
template <class Decode>
uint8_t nearest(double value, uint8_t top, Decode decode) {
  uint8_t best = 0;
  for (uint32_t code = 0; code <= top; ++code) {
    const double distance = std::fabs(decode(static_cast<uint8_t>(code)) - value);
    const double least = std::fabs(decode(best) - value);
    if (distance < least || (distance == least && code % 2 == 0)) best = static_cast<uint8_t>(code);
  }
  return best;
}

TEST(SmallFloats, E4M3EncodesToTheNearestWithTiesToEven) {
  for (uint32_t i = 0; i < 40'000; ++i) {
    const float value =
        static_cast<float>(i) * (i < 20'000 ? 0x1p-16F : 0x1p-6F);  // subnormals and their ties; up to 625
    const uint8_t expected = nearest(value, 0x7e, [](uint8_t c) { return e4m3_to_f32(c); });
    ASSERT_EQ(f32_to_e4m3(value), expected) << value;
    ASSERT_EQ(f32_to_e4m3(-value), expected | 0x80U) << -value;
  }
}

TEST(SmallFloats, E4M3RoundTripsAndSaturates) {
  for (uint32_t code = 0; code < 256; ++code) {
    if (e4m3_is_nan(static_cast<uint8_t>(code))) continue;
    EXPECT_EQ(f32_to_e4m3(e4m3_to_f32(static_cast<uint8_t>(code))), code);
  }
  EXPECT_EQ(f32_to_e4m3(1e30F), 0x7e);
  EXPECT_EQ(f32_to_e4m3(-kInf), 0xfe);
  EXPECT_EQ(f32_to_e4m3(kNan), 0x7e);
  EXPECT_EQ(f32_to_e4m3(0x1p-10F), 0);  // half of the smallest: ties to even, zero
  EXPECT_EQ(f32_to_e4m3(0x1.000002p-10F), 1);
}

TEST(SmallFloats, E2M1EncodesToTheNearestWithTiesToEven) {
  for (int i = 0; i <= 1024; ++i) {
    const float value = static_cast<float>(i) / 128.0F;  // 0 to 8, every tie included
    const uint8_t expected = nearest(std::min(value, 6.0F), 7, [](uint8_t c) { return e2m1_to_f32(c); });
    EXPECT_EQ(f32_to_e2m1(value), expected) << value;
    EXPECT_EQ(f32_to_e2m1(-value), expected | 8U) << -value;
  }
  EXPECT_EQ(f32_to_e2m1(kNan), 7);
  EXPECT_EQ(f32_to_e2m1(-kInf), 15);
}

TEST(SmallFloats, E8M0IsAPowerOfTwo) {
  for (int code = 0; code < 255; ++code)
    EXPECT_EQ(e8m0_to_f32(static_cast<uint8_t>(code)), std::ldexp(1.0F, code - 127));
  EXPECT_TRUE(e8m0_is_nan(255));
}

}  // namespace
}  // namespace mach
