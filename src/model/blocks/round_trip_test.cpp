#include "model/blocks/round_trip.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

namespace mach {
namespace {

TEST(RoundTrip, Fp8KeepsWhatE4m3HoldsAtItsScale) {
  // amax 448 has scale 1: 3 fraction bits survive, 17 lies between 16 and 18 and goes to the even code.
  std::vector<float> values = {448.0F, 17.0F, -0.5F, 0.0F, 1.0F / 1024};
  fp8_round_trip(values, 64);
  EXPECT_EQ(values, (std::vector<float>{448.0F, 16.0F, -0.5F, 0.0F, 0.0F}));
}

TEST(RoundTrip, Fp8ScalesEachBlockByAPowerOfTwo) {
  // 900 / 448 > 2: the scale is 4, whose neighbours of 900 are 896 and 960.
  std::vector<float> values = {900.0F, 1.0F, 1.0F, 1.03125F};
  fp8_round_trip(values, 2);
  EXPECT_EQ(values[0], 896.0F);
  EXPECT_EQ(values[2], 1.0F);
  EXPECT_EQ(values[3], 1.0F);
}

TEST(RoundTrip, Fp4RoundsToTheEightMagnitudes) {
  std::vector<float> values = {6.0F, 5.1F, 2.4F, 1.2F, 0.2F, -3.1F, 0.0F};
  fp4_round_trip(values);
  EXPECT_EQ(values, (std::vector<float>{6.0F, 6.0F, 2.0F, 1.0F, 0.0F, -3.0F, 0.0F}));
}

TEST(RoundTrip, HadamardKeepsDotProducts) {
  std::vector<float> a(128);
  std::vector<float> b(128);
  double before = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = std::sin(static_cast<float>(i));
    b[i] = std::cos(static_cast<float>(3 * i));
    before += double{a[i]} * b[i];
  }
  hadamard(a);
  hadamard(b);
  double after = 0;
  for (size_t i = 0; i < a.size(); ++i) after += double{a[i]} * b[i];
  EXPECT_NEAR(after, before, 128 * 1e-6);  // fp32 rounding of 7 stages
}

}  // namespace
}  // namespace mach
