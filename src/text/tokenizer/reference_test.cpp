// Against Hugging Face tokenizers: random small tokenizers whose results are stored in tests/data/tokenizer_cases.json, and
// the golden encodings of the published and the mini tokenizers in the reference material.
#include <memory>

#include <gtest/gtest.h>

#include "support/gunzip.h"
#include "text/tokenizer/detokenizer.h"
#include "text/tokenizer/test_support.h"
#include "text/tokenizer/tokenizer.h"

namespace mach {
namespace {

using Ids = std::vector<TokenId>;

std::string streamed(const Tokenizer& tokenizer, const Ids& ids, DecodeOptions options) {
  Detokenizer stream(tokenizer, options);
  std::string text;
  for (const TokenId id : ids) text += stream.push(id);
  return text + stream.finish();
}

TEST(Reference, RandomTokenizersEncodeAndDecodeAlike) {
  const nlohmann::json file = testing::read_json(testing::source_dir() / "tests/data/tokenizer_cases.json");
  ASSERT_GE(file["cases"].size(), 100U);
  size_t index = 0;
  for (const nlohmann::json& one : file["cases"]) {
    SCOPED_TRACE(::testing::Message() << "case " << index++);
    nlohmann::json json = file["bases"][one["base"].get<std::string>()];
    for (const auto& [key, value] : one.items()) {
      if (key == "model") {
        json["model"].update(value);
      } else if (json.contains(key)) {
        json[key] = value;
      }
    }
    const Tokenizer tokenizer = testing::make_tokenizer(json);
    for (const nlohmann::json& row : one["encode"]) {
      EncodeOptions options;
      options.add_special_tokens = row[1].get<bool>();
      EXPECT_EQ(tokenizer.encode(row[0].get<std::string>(), options), row[2].get<Ids>()) << row[0];
    }
    for (const nlohmann::json& row : one["decode"]) {
      const DecodeOptions options{row[1].get<bool>()};
      EXPECT_EQ(tokenizer.decode(row[0].get<Ids>(), options), row[2].get<std::string>()) << row[0];
      EXPECT_EQ(streamed(tokenizer, row[0].get<Ids>(), options), row[2].get<std::string>()) << row[0];
    }
  }
}

struct Published {
  const char* name;
  size_t tokens;
};

class PublishedTokenizer : public ::testing::TestWithParam<Published> {};

TEST_P(PublishedTokenizer, EncodesAndDecodesTheGoldenTexts) {
  const auto shared = testing::shared_dir();
  if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
  const std::string name = GetParam().name;
  const bool mini = name.starts_with("mini-");
  const Tokenizer tokenizer =
      mini ? Tokenizer::open(*shared / "models" / name / "tokenizer.json")
           : Tokenizer::parse(
                 testing::gunzip(*shared / "fixtures/tokenizers" / (name + ".tokenizer.json.gz")), name);
  EXPECT_EQ(tokenizer.vocab_size(), GetParam().tokens);
  const nlohmann::json golden = testing::read_json(*shared / "fixtures/tokenizers/golden.json");
  ASSERT_GE(golden.at(name).size(), 20U);
  for (const nlohmann::json& row : golden.at(name)) {
    const std::string text = row["text"];
    const Ids ids = row["ids"];
    EncodeOptions bare;
    bare.add_special_tokens = false;
    EXPECT_EQ(tokenizer.encode(text, bare), ids) << text;
    EXPECT_EQ(tokenizer.encode(text), row["ids_special"].get<Ids>()) << text;
    EXPECT_EQ(tokenizer.decode(ids, {false}), row["decoded"].get<std::string>());
    EXPECT_EQ(streamed(tokenizer, ids, {false}), row["decoded"].get<std::string>());
  }
}

INSTANTIATE_TEST_SUITE_P(All, PublishedTokenizer,
                         ::testing::Values(Published{"qwen3", 151669}, Published{"gpt_oss", 200019},
                                           Published{"gemma3", 262145}, Published{"deepseek_v3", 128815},
                                           Published{"mini-qwen3_moe", 4096},
                                           Published{"mini-qwen3_5_moe", 4096},
                                           Published{"mini-gpt_oss", 4096}, Published{"mini-gemma4", 4096},
                                           Published{"mini-deepseek_v4", 4096}),
                         [](const auto& param) {
                           std::string name = param.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

class MiniModel : public ::testing::TestWithParam<const char*> {};

TEST_P(MiniModel, EncodesTheRenderedPrompts) {
  const auto shared = testing::shared_dir();
  if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
  const auto folder = *shared / "models" / GetParam();
  const Tokenizer tokenizer = Tokenizer::open(folder / "tokenizer.json");
  EncodeOptions rendered;
  rendered.add_special_tokens = false;
  const nlohmann::json golden = testing::read_json(folder / "golden.json");
  ASSERT_EQ(golden["prompts"].size(), 8U);
  for (const nlohmann::json& prompt : golden["prompts"]) {
    EXPECT_EQ(tokenizer.encode(prompt["rendered"].get<std::string>(), rendered),
              prompt["prompt_ids"].get<Ids>());
    EXPECT_EQ(tokenizer.decode(prompt["greedy_ids"].get<Ids>(), {false}),
              prompt["greedy_text"].get<std::string>());
  }
}

INSTANTIATE_TEST_SUITE_P(All, MiniModel,
                         ::testing::Values("mini-qwen3_moe", "mini-qwen3_5_moe", "mini-gpt_oss",
                                           "mini-gemma4", "mini-deepseek_v4", "mini-deepseek_v4-fp8-fp4",
                                           "mini-gemma4-mlx-4bit", "mini-gpt_oss-mxfp4",
                                           "mini-qwen3_moe-mlx-4bit"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace mach
