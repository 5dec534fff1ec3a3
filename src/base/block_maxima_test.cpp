#include "base/block_maxima.h"

#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace mach {
namespace {

TEST(BlockMaxima, AreTheLargestOfEachBlock) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (const size_t n : {1U, 15U, 16U, 63U, 64U, 65U, 100U, 1000U}) {
    std::vector<float> values(n);
    for (float& v : values) v = normal(random);
    values[n / 2] = std::nanf("");
    std::vector<float> maxima(maxima_count(n));
    find_block_maxima(values, maxima);
    for (size_t b = 0; b < maxima.size(); ++b) {
      float want = -INFINITY;
      for (size_t i = b * kMaximaBlock; i < std::min(n, (b + 1) * kMaximaBlock); ++i)
        want = std::fmax(want, values[i]);
      EXPECT_EQ(maxima[b], want) << n << ", block " << b;
    }
  }
}

TEST(BlockMaxima, TheKthIsReachedByKValues) {
  std::mt19937 random(4);
  std::uniform_int_distribution<int> few(0, 40);  // many are equal
  std::vector<float> values(3000);
  for (float& v : values) v = static_cast<float>(few(random));
  std::vector<float> maxima(maxima_count(values.size()));
  for (const size_t k : {size_t{1}, size_t{20}, maxima.size()}) {
    find_block_maxima(values, maxima);
    const float bound = kth_largest(maxima, k);
    EXPECT_GE(
        static_cast<size_t>(std::count_if(values.begin(), values.end(), [&](float v) { return v >= bound; })),
        k);
  }
}

}  // namespace
}  // namespace mach
