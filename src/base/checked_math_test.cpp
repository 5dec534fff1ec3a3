#include "base/checked_math.h"

#include <array>
#include <limits>

#include <gtest/gtest.h>

namespace mach {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(CheckedMath, AddsUpToTheLargestNumberAndNoFurther) {
  EXPECT_EQ(checked_add(kMax - 1, 1), kMax);
  EXPECT_EQ(checked_add(kMax, 1), std::nullopt);
}

TEST(CheckedMath, MultipliesUpToTheLargestNumberAndNoFurther) {
  EXPECT_EQ(checked_mul(kMax / 3, 3), kMax);
  EXPECT_EQ(checked_mul(uint64_t{1} << 32, uint64_t{1} << 32), std::nullopt);
}

TEST(CheckedMath, ProductRefusesAnOverflowThatALaterZeroWouldHide) {
  EXPECT_EQ(checked_product({}), 1U);
  EXPECT_EQ(checked_product(std::array<uint64_t, 3>{2, 3, 7}), 42U);
  EXPECT_EQ(checked_product(std::array<uint64_t, 3>{uint64_t{1} << 63, 2, 0}), std::nullopt);
}

TEST(CheckedMath, RoundsUpToPowersOfTwo) {
  EXPECT_EQ(checked_round_up(0, 4096), 0U);
  EXPECT_EQ(checked_round_up(1, 4096), 4096U);
  EXPECT_EQ(checked_round_up(4096, 4096), 4096U);
  EXPECT_EQ(checked_round_up(kMax - 4094, 4096), std::nullopt);
  EXPECT_EQ(round_up(4097, 4096), 8192U);
}

TEST(CheckedMath, CeilDivDoesNotOverflow) {
  EXPECT_EQ(ceil_div(0, 7), 0U);
  EXPECT_EQ(ceil_div(14, 7), 2U);
  EXPECT_EQ(ceil_div(15, 7), 3U);
  EXPECT_EQ(ceil_div(kMax, 2), kMax / 2 + 1);
}

}  // namespace
}  // namespace mach
