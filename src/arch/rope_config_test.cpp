#include "arch/rope_config.h"

#include <cmath>

#include <gtest/gtest.h>

#include "arch/catalog_for_test.h"
#include "arch/model_config.h"

namespace mach {
namespace {

using nlohmann::json;
using testing::expect_error;
using testing::published_config;

// The settings of layer `layer` of a config.
RopeConfig rope_of(const json& config, uint32_t layer) {
  const ModelConfig parsed = parse_model_config(config);
  return parsed.rope_of(parsed.layers.at(layer));
}

RopeConfig qwen_rope(const json& changes) {
  json config = published_config("qwen3-30b-a3b");
  config.update(changes);
  return rope_of(config, 0);
}

// specs/gpt_oss.md 2.2, printed with 12 decimals; so is the comparison.
TEST(Rope, GptOssCheckValues) {
  constexpr double kWanted[] = {1.0,
                                0.689044305888,
                                0.474782055477,
                                0.327145871864,
                                0.225418000203,
                                0.155322989484,
                                0.107024421478,
                                0.07374456821,
                                0.050813274815,
                                0.031705696185,
                                0.019335001127,
                                0.011592049256,
                                0.00679495949,
                                0.003860359317,
                                0.002093792379,
                                0.001052602101,
                                0.000456483919,
                                0.000129318701,
                                3.8308812e-05,
                                2.6396469e-05,
                                1.8188337e-05,
                                1.253257e-05,
                                8.635496e-06,
                                5.950239e-06,
                                4.099978e-06,
                                2.825067e-06,
                                1.946596e-06,
                                1.341291e-06,
                                9.24209e-07,
                                6.36821e-07,
                                4.38798e-07,
                                3.02351e-07};
  const RopeConfig rope = rope_of(published_config("gpt-oss-20b"), 0);
  EXPECT_EQ(rope.type, RopeType::kYarn);
  EXPECT_DOUBLE_EQ(rope.attention_factor, 1.3465735902799727);
  const std::vector<float> frequencies = rope_inverse_frequencies(rope);
  ASSERT_EQ(frequencies.size(), std::size(kWanted));
  for (size_t i = 0; i < frequencies.size(); ++i) {
    // fp32 rounding of the value, and half a unit of the last printed decimal.
    EXPECT_NEAR(frequencies[i], kWanted[i], kWanted[i] * 6e-8 + 5.1e-13) << i;
  }
}

// specs/deepseek_v4.md 2.5, printed with six digits.
TEST(Rope, DeepSeekCheckValues) {
  const json config = published_config("deepseek-v4-flash");
  const RopeConfig rope = rope_of(config, 2);
  EXPECT_EQ(rope.pairing, RopePairing::kInterleavedTrailing);
  EXPECT_EQ(rope.rotary_dims, 64U);
  EXPECT_EQ(rope.attention_factor, 1.0);
  const std::vector<float> frequencies = rope_inverse_frequencies(rope);
  ASSERT_EQ(frequencies.size(), 32U);
  const std::pair<size_t, double> wanted[] = {{0, 1.0},         {15, 3.63554e-3}, {16, 2.265625e-3},
                                              {20, 2.96978e-4}, {25, 5.37231e-6}, {31, 5.68053e-7}};
  for (const auto& [index, value] : wanted) EXPECT_NEAR(frequencies[index], value, value * 2e-6) << index;

  const RopeConfig plain = rope_of(config, 0);
  EXPECT_EQ(plain.type, RopeType::kDefault);
  EXPECT_FLOAT_EQ(rope_inverse_frequencies(plain)[16], 0.01F);  // 10000^(-32/64)
}

TEST(Rope, DeepSeekIndexVectorsShareTheFrequencies) {
  const ModelConfig config = parse_model_config(published_config("deepseek-v4-flash"));
  const RopeConfig& index = config.ropes.at(config.deepseek->index_rope);
  EXPECT_EQ(index.head_dim, 128U);
  EXPECT_EQ(rope_inverse_frequencies(index), rope_inverse_frequencies(config.rope_of(config.layers[2])));
}

// Small R and short original lengths: the bounds of the ramp count (specs/deepseek_v4.md 2.5).
TEST(Rope, YarnRampStaysInBounds) {
  RopeConfig rope{.type = RopeType::kYarn, .theta = 160000.0, .head_dim = 32, .rotary_dims = 8, .active = 4};
  rope.factor = 16.0;
  rope.original_max_position = 64.0;
  const std::vector<float> frequencies = rope_inverse_frequencies(rope);
  // low = floor(-0.38) -> 0, high = 1: the first frequency is kept, all others are divided.
  EXPECT_FLOAT_EQ(frequencies[0], 1.0F);
  for (size_t i = 1; i < 4; ++i) {
    EXPECT_FLOAT_EQ(frequencies[i],
                    static_cast<float>(std::pow(160000.0, -2.0 * static_cast<double>(i) / 8) / 16));
  }
}

TEST(Rope, GemmaFullLayersRotateAQuarterOfPairsOverTheWholeHead) {
  const json config = published_config("gemma-4-26b-a4b");
  const RopeConfig sliding = rope_of(config, 0);
  EXPECT_EQ(sliding.type, RopeType::kDefault);
  EXPECT_EQ(sliding.rotary_dims, 256U);
  EXPECT_EQ(sliding.theta, 1e4);
  const RopeConfig full = rope_of(config, 5);
  EXPECT_EQ(full.type, RopeType::kProportional);
  EXPECT_EQ(full.rotary_dims, 512U);
  const std::vector<float> frequencies = rope_inverse_frequencies(full);
  ASSERT_EQ(frequencies.size(), 256U);
  EXPECT_FLOAT_EQ(frequencies[63], static_cast<float>(std::pow(1e6, -126.0 / 512)));
  EXPECT_EQ(frequencies[64], 0.0F);
  EXPECT_EQ(frequencies[255], 0.0F);
}

TEST(Rope, QwenHybridRotatesAQuarterOfTheHead) {
  const RopeConfig rope = rope_of(published_config("qwen3.6-35b-a3b"), 3);
  EXPECT_EQ(rope.rotary_dims, 64U);
  EXPECT_EQ(rope.head_dim, 256U);
  EXPECT_FLOAT_EQ(rope_inverse_frequencies(rope)[1], static_cast<float>(std::pow(1e7, -2.0 / 64)));
}

TEST(Rope, OldAndNewSpellingsMeanTheSame) {
  json old_form = published_config("gpt-oss-20b");
  json new_form = old_form;
  new_form.erase("rope_theta");
  new_form["rope_parameters"] = new_form["rope_scaling"];
  new_form["rope_parameters"]["rope_theta"] = 150000;
  new_form.erase("rope_scaling");
  EXPECT_EQ(rope_of(old_form, 0), rope_of(new_form, 0));
  // Without any settings the family's defaults are those of the released models.
  json none = old_form;
  none.erase("rope_scaling");
  none.erase("rope_theta");
  EXPECT_EQ(rope_of(none, 0), rope_of(old_form, 0));
  json legacy_key = old_form;
  legacy_key["rope_scaling"]["type"] = "yarn";
  legacy_key["rope_scaling"].erase("rope_type");
  EXPECT_EQ(rope_of(legacy_key, 0), rope_of(old_form, 0));
}

TEST(Rope, EmptyScalingFallsThroughToParameters) {
  const json parameters = {{"rope_type", "linear"}, {"factor", 2.0}, {"rope_theta", 5e5}};
  const RopeConfig rope = qwen_rope({{"rope_scaling", json::object()}, {"rope_parameters", parameters}});
  EXPECT_EQ(rope.type, RopeType::kLinear);
  EXPECT_EQ(rope.theta, 5e5);  // over the level's 1e6
  EXPECT_FLOAT_EQ(rope_inverse_frequencies(rope)[0], 0.5F);
}

TEST(Rope, PlainTypeIgnoresThePartialFactorWhereTheReferenceDoes) {
  EXPECT_EQ(qwen_rope({{"partial_rotary_factor", 0.5}}).rotary_dims, 128U);
  const json yarn = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  EXPECT_EQ(qwen_rope({{"rope_scaling", yarn}, {"partial_rotary_factor", 0.5}}).rotary_dims, 64U);
}

TEST(Rope, YarnAttentionFactor) {
  json yarn = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  EXPECT_NEAR(qwen_rope({{"rope_scaling", yarn}}).attention_factor, 1.1386294, 5e-8);
  yarn["mscale"] = 0.707;
  yarn["mscale_all_dim"] = 1.0;
  const double log4 = std::log(4.0);
  EXPECT_DOUBLE_EQ(qwen_rope({{"rope_scaling", yarn}}).attention_factor,
                   (0.0707 * log4 + 1.0) / (0.1 * log4 + 1.0));
  yarn["attention_factor"] = 1.25;
  EXPECT_EQ(qwen_rope({{"rope_scaling", yarn}}).attention_factor, 1.25);
}

TEST(Rope, YarnFactorAndLengthAreDerived) {
  const json yarn = {{"rope_type", "yarn"}, {"original_max_position_embeddings", 10240}};
  EXPECT_EQ(qwen_rope({{"rope_scaling", yarn}}).factor, 4.0);  // 40960 / 10240
  // The top-level key wins.
  EXPECT_EQ(qwen_rope({{"rope_scaling", yarn}, {"original_max_position_embeddings", 20480}}).factor, 2.0);
}

TEST(Rope, Llama3KeepsShortWavesAndStretchesLongOnes) {
  const json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 8192}};
  const RopeConfig rope = qwen_rope({{"rope_scaling", llama3}, {"rope_theta", 5e5}});
  const std::vector<float> frequencies = rope_inverse_frequencies(rope);
  const auto plain = [](int i) { return std::pow(5e5, -2.0 * i / 128); };
  EXPECT_FLOAT_EQ(frequencies[0], 1.0F);
  EXPECT_FLOAT_EQ(frequencies[10], static_cast<float>(plain(10)));
  EXPECT_FLOAT_EQ(frequencies[63], static_cast<float>(plain(63) / 8.0));
  // Between the bounds: 8192 / 4 < wavelength < 8192.
  const int middle = 32;
  const double turns = 8192 * plain(middle) / (2 * M_PI);
  ASSERT_TRUE(turns > 1.0 && turns < 4.0);
  const double smooth = (turns - 1.0) / 3.0;
  EXPECT_FLOAT_EQ(frequencies[middle],
                  static_cast<float>((1 - smooth) * plain(middle) / 8.0 + smooth * plain(middle)));
}

TEST(Rope, RefusesWhatItCannotMake) {
  for (const char* type : {"dynamic", "longrope", "su", "mrope"}) {
    expect_error(
        [&] {
          qwen_rope({{"rope_scaling", {{"type", type}, {"factor", 2.0}}}});
        },
        ErrorCode::kUnsupported, {"rope_scaling.type", type, "yarn"});
  }
}

}  // namespace
}  // namespace mach
