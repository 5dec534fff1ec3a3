#include "text/tokenizer/tokenizer_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

#include "support/expect_error.h"

namespace mach {
namespace {

TEST(TokenizerConfig, ReadsTokensInBothForms) {
  const auto config = TokenizerConfig::parse(
      R"({"bos_token": null, "eos_token": "<|im_end|>", "pad_token": {"content": "<pad>", "lstrip": false},
          "add_bos_token": false, "model_max_length": 131072, "chat_template": "{{ x }}"})",
      "t");
  EXPECT_EQ(config.bos_token, std::nullopt);
  EXPECT_EQ(config.eos_token, "<|im_end|>");
  EXPECT_EQ(config.pad_token, "<pad>");
  EXPECT_EQ(config.add_bos_token, false);
  EXPECT_EQ(config.add_eos_token, std::nullopt);
  EXPECT_EQ(config.model_max_length, 131072U);
  ASSERT_EQ(config.chat_templates.size(), 1U);
  EXPECT_EQ(config.chat_templates[0].source, "{{ x }}");
}

TEST(TokenizerConfig, ReadsNamedTemplatesAndTheAbsentLimit) {
  const auto config = TokenizerConfig::parse(
      R"({"model_max_length": 1000000000000000019884624838656,
          "chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]})",
      "t");
  EXPECT_EQ(config.model_max_length, std::nullopt);
  ASSERT_EQ(config.chat_templates.size(), 2U);
  EXPECT_EQ(config.chat_templates[1].name, "tool_use");
  EXPECT_EQ(TokenizerConfig::parse("{}", "t").eos_token, std::nullopt);
}

TEST(TokenizerConfig, WrongTypesAreCorrupt) {
  using ::testing::HasSubstr;
  for (const char* json : {"[]", R"({"eos_token": 3})", R"({"eos_token": {"text": "x"}})",
                           R"({"add_bos_token": "yes"})", R"({"model_max_length": -1})",
                           R"({"chat_template": {"a": 1}})", R"({"chat_template": [{"name": "x"}]})"}) {
    SCOPED_TRACE(json);
    EXPECT_MACH_ERROR(TokenizerConfig::parse(json, "the-file"), ErrorCode::kCorruptFile,
                      HasSubstr("the-file"));
  }
}

}  // namespace
}  // namespace mach
