#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

namespace mach {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ErrorCode code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.code();
  }
  return ErrorCode::kInternal;
}

std::vector<float> random_logits(size_t n, uint32_t seed, float spread) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(n);
  for (float& x : logits) x = normal(random);
  return logits;
}

// The definition, by sorting: softmax(logits / T), then top-k, then top-p of what is left, then min-p.
std::map<TokenId, double> reference_distribution(const std::vector<float>& logits, const SamplingParams& p) {
  std::vector<std::pair<double, TokenId>> sorted;
  const double top = *std::max_element(logits.begin(), logits.end());
  for (size_t i = 0; i < logits.size(); ++i) {
    sorted.emplace_back(std::exp((logits[i] - top) / p.temperature), static_cast<TokenId>(i));
  }
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  if (p.top_k > 0 && p.top_k < sorted.size()) sorted.resize(p.top_k);
  double total = 0;
  for (const auto& [weight, id] : sorted) total += weight;
  double mass = 0;
  std::map<TokenId, double> kept;
  for (const auto& [weight, id] : sorted) {
    if (mass >= p.top_p * total && !kept.empty()) break;
    mass += weight;
    if (weight >= p.min_p) kept[id] = weight;
  }
  double kept_total = 0;
  for (const auto& [id, weight] : kept) kept_total += weight;
  for (auto& [id, weight] : kept) weight /= kept_total;
  return kept;
}

std::map<TokenId, double> draw_many(const std::vector<float>& logits, const SamplingParams& params,
                                    int draws) {
  Sampler sampler(params, static_cast<uint32_t>(logits.size()));
  std::map<TokenId, double> share;
  for (int i = 0; i < draws; ++i) {
    const TokenId id = sampler.sample(logits).id;
    sampler.accept(id);
    share[id] += 1.0 / draws;
  }
  return share;
}

TEST(Sampler, GreedyTakesTheLargestLogitAndTheSmallerIdOnATie) {
  Sampler sampler({}, 5);
  EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 2, 3, 0}).id, 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{-3, -2, -INFINITY, -1, -9}).id, 3);
}

TEST(Sampler, NeverChoosesAPaddingRow) {
  std::vector<float> logits = random_logits(64, 1, 1);
  for (size_t i = 60; i < 64; ++i) logits[i] = 50;
  EXPECT_LT(Sampler({}, 60).sample(logits).id, 60);
  SamplingParams hot;
  hot.temperature = 5;
  hot.logprobs = 64;
  Sampler sampler(hot, 60);
  for (int i = 0; i < 500; ++i) {
    const SampledToken token = sampler.sample(logits);
    sampler.accept(token.id);
    ASSERT_LT(token.id, 60);
    ASSERT_EQ(token.top.size(), 60U);
  }
}

class Distribution : public ::testing::TestWithParam<SamplingParams> {};

TEST_P(Distribution, DrawsFollowTheDefinition) {
  const std::vector<float> logits = random_logits(200, 7, 2);
  const auto expected = reference_distribution(logits, GetParam());
  constexpr int kDraws = 20000;
  const auto share = draw_many(logits, GetParam(), kDraws);
  double chi_square = 0;
  double rare = 0;
  double rare_share = 0;
  size_t cells = 0;
  for (const auto& [id, drawn] : share)
    ASSERT_TRUE(expected.contains(id)) << "token " << id << " was filtered";
  for (const auto& [id, p] : expected) {
    const double seen = share.contains(id) ? share.at(id) : 0;
    if (p * kDraws < 5) {  // too few to be normal: pooled
      rare += p;
      rare_share += seen;
      continue;
    }
    chi_square += kDraws * (seen - p) * (seen - p) / p;
    ++cells;
  }
  if (rare * kDraws >= 5) {
    chi_square += kDraws * (rare_share - rare) * (rare_share - rare) / rare;
    ++cells;
  }
  // Mean cells - 1, variance 2 (cells - 1): five deviations above.
  const double freedom = static_cast<double>(cells) - 1;
  EXPECT_LE(chi_square, freedom + 5 * std::sqrt(2 * freedom) + 1e-9) << cells << " cells";
}

SamplingParams params(float temperature, uint32_t top_k, float top_p, float min_p) {
  SamplingParams p;
  p.temperature = temperature;
  p.top_k = top_k;
  p.top_p = top_p;
  p.min_p = min_p;
  p.seed = 42;
  return p;
}
INSTANTIATE_TEST_SUITE_P(Filters, Distribution,
                         ::testing::Values(params(1, 0, 1, 0), params(0.7F, 0, 1, 0), params(2, 0, 1, 0),
                                           params(1, 7, 1, 0), params(1, 1000, 1, 0), params(1, 0, 0.8F, 0),
                                           params(1, 0, 0, 0), params(1, 0, 1, 0.1F), params(1, 1, 0.5F, 1),
                                           params(0.7F, 20, 0.9F, 0), params(1.5F, 50, 0.95F, 0.05F)));

// The kept set is visible without statistics: with a high temperature nearly every kept token is drawn soon.
TEST(Sampler, TopPKeepsTheSmallestSufficientSet) {
  const std::vector<float> logits = {std::log(0.1F), std::log(0.4F), std::log(0.2F), std::log(0.3F)};
  const auto ids = [&](float top_p) {
    std::set<TokenId> seen;
    for (const auto& [id, share] : draw_many(logits, params(1, 0, top_p, 0), 400)) seen.insert(id);
    return seen;
  };
  EXPECT_THAT(ids(0.39F), ElementsAre(1));
  EXPECT_THAT(ids(0.69F), ElementsAre(1, 3));
  EXPECT_THAT(ids(0.71F), ElementsAre(1, 2, 3));
  EXPECT_THAT(ids(0.95F), ElementsAre(0, 1, 2, 3));
}

TEST(Sampler, TopPCountsMassThatTopKLeft) {
  // 0.4, 0.3, 0.2 are left of the four: 0.4 is 0.44 of them, which a top-p of 0.42 accepts alone.
  const std::vector<float> logits = {std::log(0.1F), std::log(0.4F), std::log(0.2F), std::log(0.3F)};
  EXPECT_EQ(draw_many(logits, params(1, 3, 0.42F, 0), 300).size(), 1U);
  EXPECT_EQ(draw_many(logits, params(1, 0, 0.42F, 0), 300).size(), 2U);
}

TEST(Sampler, SelectionOverALargeVocabularyMatchesSorting) {
  const std::vector<float> logits = random_logits(50000, 3, 3);
  for (const float top_p : {0.1F, 0.5F, 0.9F}) {
    const auto expected = reference_distribution(logits, params(1, 0, top_p, 0));
    for (const auto& [id, share] : draw_many(logits, params(1, 0, top_p, 0), 200)) {
      EXPECT_TRUE(expected.contains(id));
    }
  }
}

// The few candidates of top-k are found by another way than all tokens: with ties at the boundary, with logits so low that their
// weights are alike, and where the last of the k has no weight at all.
TEST(Sampler, TopKOfALargeVocabularyMatchesSorting) {
  std::vector<float> coarse = random_logits(50000, 5, 3);
  for (float& x : coarse) x = std::round(4 * x) / 4;
  std::vector<float> steep(50000);
  for (size_t i = 0; i < steep.size(); ++i) steep[i] = -static_cast<float>(i * 7919 % 50000) * 2.1F;
  for (const auto& logits : {random_logits(50000, 4, 3), coarse, steep}) {
    for (const uint32_t k : {1U, 2U, 20U, 64U}) {
      for (const float top_p : {1.0F, 0.8F}) {
        const auto expected = reference_distribution(logits, params(1, k, top_p, 0));
        for (const auto& [id, share] : draw_many(logits, params(1, k, top_p, 0), 300)) {
          ASSERT_TRUE(expected.contains(id)) << "k " << k << ", top-p " << top_p;
          EXPECT_NEAR(share, expected.at(id), 0.15);
        }
      }
    }
  }
}

TEST(Sampler, EqualLogitsAtTheBoundaryKeepTheSmallerIds) {
  const std::vector<float> logits(100, 1.5F);
  for (const auto& [id, share] : draw_many(logits, params(1, 10, 1, 0), 500)) EXPECT_LT(id, 10);
  for (const auto& [id, share] : draw_many(logits, params(1, 0, 0.25F, 0), 500)) EXPECT_LT(id, 25);
}

TEST(Sampler, SameSeedGivesTheseTokensOnEveryMachine) {
  std::vector<float> logits(1000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>((i * 7919) % 1000) / 100;
  const auto tokens = [&](uint64_t seed) {
    SamplingParams p = params(1, 0, 0.95F, 0);
    p.seed = seed;
    Sampler sampler(p, 1000);
    std::vector<TokenId> ids;
    for (int i = 0; i < 8; ++i) {
      ids.push_back(sampler.sample(logits).id);
      sampler.accept(ids.back());
    }
    return ids;
  };
  // Computed apart from this code, in 50-digit arithmetic, from the description in sampler.h and counter_random.h.
  EXPECT_THAT(tokens(1), ElementsAre(371, 941, 50, 779, 224, 778, 630, 248));
  EXPECT_THAT(tokens(2), ElementsAre(396, 89, 852, 558, 952, 816, 40, 235));
}

TEST(Sampler, DrawDependsOnPositionNotOnEarlierCalls) {
  const std::vector<float> logits = random_logits(500, 9, 0.5F);
  Sampler once(params(1, 0, 1, 0), 500);
  Sampler twice(params(1, 0, 1, 0), 500);
  for (int i = 0; i < 20; ++i) {
    const TokenId id = once.sample(logits).id;
    twice.sample(logits);
    ASSERT_EQ(twice.sample(logits).id, id);
    once.accept(id);
    twice.accept(id);
  }
}

TEST(Sampler, RepetitionPenaltyCoversPromptAndGeneratedTokens) {
  SamplingParams p;
  p.repetition_penalty = 2;
  Sampler sampler(p, 4);
  sampler.accept_prompt(std::vector<TokenId>{0, 0});
  EXPECT_EQ(sampler.sample(std::vector<float>{4, 2.5F, 1, 0}).id,
            1);  // 4 / 2 < 2.5: once, not per occurrence
  EXPECT_EQ(sampler.sample(std::vector<float>{4, 1.5F, 1, 0}).id, 0);
  EXPECT_EQ(sampler.sample(std::vector<float>{-1, -1.5F, -9, -9}).id, 1);  // -1 * 2 < -1.5
  sampler.accept(1);
  EXPECT_EQ(sampler.sample(std::vector<float>{-9, 5, 3, 0}).id, 2);
}

TEST(Sampler, PresenceAndFrequencyPenaltiesCountGeneratedTokensOnly) {
  SamplingParams p;
  p.presence_penalty = 1;
  p.frequency_penalty = 0.5F;
  Sampler sampler(p, 3);
  sampler.accept_prompt(std::vector<TokenId>{0});
  EXPECT_EQ(sampler.sample(std::vector<float>{2, 1.9F, 0}).id, 0);
  sampler.accept(0);  // 2 - 1.5
  EXPECT_EQ(sampler.sample(std::vector<float>{2, 0.4F, 0}).id, 0);
  EXPECT_EQ(sampler.sample(std::vector<float>{2, 0.6F, 0}).id, 1);
  sampler.accept(0);  // 2 - 2
  EXPECT_EQ(sampler.sample(std::vector<float>{2, 0.1F, 0}).id, 1);
}

TEST(Sampler, BiasActsAfterPenaltiesAndMaskAfterBias) {
  SamplingParams p;
  p.repetition_penalty = 2;
  p.logit_bias = {{2, 3.0F}, {0, 100.0F}};
  p.suppressed = {0};
  Sampler sampler(p, 3);
  sampler.accept_prompt(std::vector<TokenId>{2});
  // 2: 2 / 2 + 3 = 4, where (2 + 3) / 2 would lose against 3; 0 is suppressed whatever its bias.
  EXPECT_EQ(sampler.sample(std::vector<float>{9, 3, 2}).id, 2);
}

TEST(Sampler, MaskAllowsOnlyItsBits) {
  const std::vector<float> logits = random_logits(70, 5, 1);
  std::vector<uint32_t> mask(3, 0);
  mask[1] = 1U << 5;  // id 37
  EXPECT_EQ(Sampler({}, 70).sample(logits, mask).id, 37);
  EXPECT_EQ(Sampler(params(1, 0, 1, 0), 70).sample(logits, mask).id, 37);
  const std::vector<uint32_t> empty(3, 0);
  EXPECT_EQ(code_of([&] { Sampler({}, 70).sample(logits, empty); }), ErrorCode::kInvalidRequest);
  const std::vector<uint32_t> short_mask = {0x3};  // ids past its end are not allowed
  EXPECT_LT(Sampler(params(50, 0, 1, 0), 70).sample(logits, short_mask).id, 2);
}

TEST(Sampler, RefusesLogitsThatAreNotFinite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> logits(40, 0);
    logits[33] = bad;
    for (const float temperature : {0.0F, 1.0F}) {
      try {
        Sampler(params(temperature, 0, 1, 0), 40).sample(logits);
        FAIL() << "accepted " << bad;
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), ErrorCode::kInternal);
        EXPECT_THAT(e.what(), HasSubstr("token 33"));
      }
    }
  }
}

TEST(Sampler, LogprobsAreTheModelsOwn) {
  SamplingParams p = params(0.2F, 1, 1, 0);
  p.logit_bias = {{3, 50.0F}};
  p.logprobs = 2;
  const std::vector<float> logits = {std::log(0.1F), std::log(0.4F), std::log(0.2F), std::log(0.3F)};
  const SampledToken token = Sampler(p, 4).sample(logits);
  EXPECT_EQ(token.id, 3);
  EXPECT_NEAR(token.logprob, std::log(0.3), 1e-6);
  ASSERT_EQ(token.top.size(), 2U);
  EXPECT_EQ(token.top[0].id, 1);
  EXPECT_NEAR(token.top[0].logprob, std::log(0.4), 1e-6);
  EXPECT_EQ(token.top[1].id, 3);
}

TEST(Sampler, TinyAndLargeTemperaturesStayDefined) {
  const std::vector<float> logits = {1e30F, -1e30F, 0, 1e30F};
  EXPECT_EQ(Sampler(params(1e-30F, 1, 1, 0), 4).sample(logits).id, 0);
  EXPECT_EQ(draw_many(random_logits(8, 2, 1), params(kMaxTemperature, 0, 1, 0), 500).size(), 8U);
}

TEST(SamplingParams, RefusalNamesTheField) {
  const auto message = [](auto change) -> std::string {
    SamplingParams p;
    change(p);
    try {
      validate(p, 100);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidRequest);
      return e.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message([](SamplingParams& p) { p.temperature = -0.5F; }),
            "temperature: -0.5 is outside [0, 100]");
  EXPECT_THAT(message([](SamplingParams& p) { p.temperature = NAN; }), HasSubstr("temperature"));
  EXPECT_THAT(message([](SamplingParams& p) { p.top_p = 1.5F; }), HasSubstr("top_p"));
  EXPECT_THAT(message([](SamplingParams& p) { p.min_p = -1; }), HasSubstr("min_p"));
  EXPECT_EQ(message([](SamplingParams& p) { p.repetition_penalty = 0; }),
            "repetition_penalty: 0 is outside (0, 100]");
  EXPECT_THAT(message([](SamplingParams& p) { p.presence_penalty = 3; }), HasSubstr("presence_penalty"));
  EXPECT_THAT(message([](SamplingParams& p) { p.frequency_penalty = -3; }), HasSubstr("frequency_penalty"));
  EXPECT_THAT(message([](SamplingParams& p) {
                p.logit_bias = {{100, 1}};
              }),
              HasSubstr("logit_bias: token id 100"));
  EXPECT_THAT(message([](SamplingParams& p) { p.logit_bias = {{1, 101}}; }), HasSubstr("logit_bias"));
  EXPECT_THAT(message([](SamplingParams& p) { p.suppressed = {-1}; }), HasSubstr("suppress_tokens"));
  EXPECT_THAT(message([](SamplingParams& p) { p.logprobs = 1000; }), HasSubstr("logprobs"));
  EXPECT_EQ(message([](SamplingParams&) {}), "accepted");
}

TEST(CounterRandom, IsUniformAndNeighbouringSeedsAreUnrelated) {
  // Streams of SplitMix64 with neighbouring raw states are each other one step later.
  const CounterRandom a(7);
  const CounterRandom b(8);
  for (uint64_t i = 0; i < 100; ++i) EXPECT_NE(a.at(i + 1), b.at(i));
  std::vector<int> cells(16);
  for (uint64_t i = 0; i < 16000; ++i) ++cells[a.below(16, i)];
  for (const int count : cells) EXPECT_NEAR(count, 1000, 5 * std::sqrt(1000.0));
}

}  // namespace
}  // namespace mach
