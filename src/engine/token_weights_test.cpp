#include "engine/token_weights.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace mach {
namespace {

std::vector<uint64_t> weights_of(const std::vector<float>& logits, double top, double log2_scale) {
  std::vector<uint64_t> weights(logits.size());
  token_weights(logits, top, log2_scale, weights);
  return weights;
}

TEST(TokenWeights, ArePowersRoundedDown) {
  std::vector<float> logits;
  for (float x = 0; x > -45; x -= 0.0371F) logits.push_back(x);
  const std::vector<uint64_t> weights = weights_of(logits, 0, 1);
  for (size_t i = 0; i < logits.size(); ++i) {
    const long double want = std::exp2(static_cast<long double>(logits[i]) + 40);
    // The series errs by 7e-15 of the weight, which is below 2^40.
    EXPECT_NEAR(static_cast<double>(weights[i]), static_cast<double>(std::floor(want)), 1.0) << logits[i];
    EXPECT_LE(weights[i], weights[i == 0 ? 0 : i - 1]);
  }
}

TEST(TokenWeights, EndsOfTheRange) {
  const float inf = std::numeric_limits<float>::infinity();
  const auto weights = weights_of({5.0F, 4.0F, -35.0F, -36.5F, -1e30F, -inf}, 5, 1);
  EXPECT_EQ(weights, (std::vector<uint64_t>{uint64_t{1} << 40, uint64_t{1} << 39, 1, 0, 0, 0}));
  EXPECT_EQ(static_cast<double>(weights[0]), kTokenWeightOne);
  // The coldest temperature leaves the likeliest alone.
  EXPECT_EQ(weights_of({5.0F, 4.99F}, 5, 1e9), (std::vector<uint64_t>{uint64_t{1} << 40, 0}));
}

}  // namespace
}  // namespace mach
