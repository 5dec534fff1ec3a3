#include "synth/routing_design.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

namespace mach::synth {
namespace {

TEST(ChoiceProbabilities, SumToTopKAndFallWithRank) {
  for (const double zipf : {0.0, 0.5, 1.0, 2.0}) {
    for (const uint32_t top_k : {1U, 4U, 8U}) {
      const auto p = choice_probabilities(32, top_k, zipf);
      EXPECT_NEAR(std::accumulate(p.begin(), p.end(), 0.0), top_k, 1e-9);
      EXPECT_TRUE(std::is_sorted(p.rbegin(), p.rend()));
      EXPECT_LE(p.front(), kMostPopular + 1e-12);
      EXPECT_GT(p.back(), 0.0);
    }
  }
}

TEST(ChoiceProbabilities, FollowThePowerBelowTheLimit) {
  const auto p = choice_probabilities(64, 4, 1.0);
  EXPECT_NEAR(p[3] / p[7], 2.0, 1e-9);
  EXPECT_NEAR(p[15] / p[63], 4.0, 1e-9);
}

TEST(ChoiceProbabilities, EveryExpertWhereAllAreChosen) {
  EXPECT_EQ(choice_probabilities(4, 4, 1.0), std::vector<double>(4, 1.0));
}

TEST(ChooseByToken, HasExactlyTheWantedShares) {
  const CounterRandom random(5);
  const RouterTarget target = random_target(16, 3, 1.0, random);
  std::vector<uint32_t> counts(16), chosen(3);
  constexpr uint32_t kTokens = 40000;
  for (uint32_t token = 0; token < kTokens; ++token) {
    choose_by_token(target, token % 64, token, random, chosen);
    EXPECT_EQ(std::set<uint32_t>(chosen.begin(), chosen.end()).size(), 3U);
    for (const uint32_t e : chosen) ++counts[e];
  }
  // Five deviations of a binomial count.
  for (uint32_t e = 0; e < 16; ++e) {
    const double p = target.probability[e];
    EXPECT_NEAR(counts[e] / double{kTokens}, p, 5 * std::sqrt(p * (1 - p) / kTokens) + 1e-6);
  }
}

}  // namespace
}  // namespace mach::synth
