#include "engine/generation_config.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mach {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

GenerationDefaults parse(std::string_view text) { return parse_generation_config(text, "g.json", 4096); }

TEST(GenerationConfig, ReadsPublishedForm) {
  const GenerationDefaults d =
      parse(R"({"bos_token_id": null, "eos_token_id": [4089, 4087, 4089], "do_sample": true,
    "temperature": 0.7, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.05, "max_new_tokens": 300,
    "suppress_tokens": [7], "transformers_version": "5.17.0"})");
  EXPECT_THAT(d.warnings, IsEmpty());
  EXPECT_FLOAT_EQ(d.sampling.temperature, 0.7F);
  EXPECT_FLOAT_EQ(d.sampling.top_p, 0.9F);
  EXPECT_EQ(d.sampling.top_k, 20U);
  EXPECT_FLOAT_EQ(d.sampling.repetition_penalty, 1.05F);
  EXPECT_EQ(d.max_new_tokens, 300U);
  EXPECT_THAT(d.sampling.suppressed, ElementsAre(7));
  EXPECT_THAT(d.stop_ids, ElementsAre(4087, 4089));
}

TEST(GenerationConfig, IsGreedyUnlessItSamples) {
  const GenerationDefaults d = parse(R"({"temperature": 0.7, "top_k": 20, "repetition_penalty": 1.5})");
  EXPECT_EQ(d.sampling.temperature, 0);
  EXPECT_EQ(d.sampling.top_k, 0U);
  EXPECT_EQ(d.sampling.repetition_penalty, 1.5F);
  EXPECT_EQ(parse(R"({"do_sample": false, "temperature": 0.7})").sampling.temperature, 0);
  EXPECT_EQ(parse(R"({"do_sample": true})").sampling.temperature, 1);
}

TEST(GenerationConfig, WrongFileOrKeyIsAWarningThatNamesIt) {
  for (const char* text : {"", "{", "[1]", "{\"a\": 1e999}"}) {
    const GenerationDefaults d = parse(text);
    ASSERT_EQ(d.warnings.size(), 1U) << text;
    EXPECT_THAT(d.warnings[0], HasSubstr("g.json"));
    EXPECT_EQ(d.sampling.temperature, 0);
  }
  const GenerationDefaults d = parse(R"({"do_sample": true, "temperature": -3, "top_p": "0.9", "top_k": 2.5,
    "max_new_tokens": 99999999999, "eos_token_id": [1, 5000, -1, "x"], "suppress_tokens": {"a": 1}})");
  EXPECT_EQ(d.sampling.temperature, 1);
  EXPECT_EQ(d.sampling.top_p, 1);
  EXPECT_EQ(d.sampling.top_k, 0U);
  EXPECT_FALSE(d.max_new_tokens);
  EXPECT_THAT(d.stop_ids, ElementsAre(1));
  EXPECT_THAT(d.warnings, ElementsAre("g.json: temperature: -3 is outside [0, 100], ignored",
                                      "g.json: top_p must be a number, ignored",
                                      "g.json: top_k must be a whole number, ignored",
                                      "g.json: max_new_tokens must be a whole number, ignored",
                                      HasSubstr("suppress_tokens must be ids below 4096"),
                                      HasSubstr("not 5000"), HasSubstr("not -1"), HasSubstr("not \"x\"")));
  EXPECT_EQ(parse(R"({"do_sample": 1, "temperature": 0.5})").sampling.temperature, 0);
}

TEST(GenerationConfig, StopIdsAreAUnion) {
  GenerationDefaults d = parse(R"({"eos_token_id": 20})");
  add_stop_ids(d, std::vector<TokenId>{30, 20, 10}, "config.json", 4096);
  add_stop_ids(d, std::vector<TokenId>{4096, -5}, "tokenizer", 4096);
  EXPECT_THAT(d.stop_ids, ElementsAre(10, 20, 30));
  EXPECT_EQ(d.warnings.size(), 2U);
  EXPECT_THAT(d.warnings[0], HasSubstr("tokenizer: stop id 4096"));
}

}  // namespace
}  // namespace mach
