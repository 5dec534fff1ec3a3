#include "text/chat/chat_format.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mach {
namespace {

using ::testing::ElementsAre;

std::string_view detected(std::string_view model_type, std::string_view template_text) {
  const ChatFormat* format = detect_chat_format(model_type, template_text);
  return format != nullptr ? format->name : "none";
}

TEST(ChatFormat, TableIsConsistent) {
  std::set<std::string_view> names, types;
  for (const ChatFormat& format : chat_formats()) {
    EXPECT_TRUE(names.insert(format.name).second) << format.name;
    EXPECT_EQ(find_chat_format(format.name), &format);
    for (const std::string_view type : format.model_types) EXPECT_TRUE(types.insert(type).second) << type;
    for (const MarkerRow& row : format.markers) {
      EXPECT_TRUE(row.text.starts_with('<')) << row.text;
      EXPECT_EQ(row.marker == Marker::kStop, row.stops != StopRule::kNever) << row.text;
      for (const MarkerRow& other : format.markers) {
        EXPECT_FALSE(&row != &other && other.text.starts_with(row.text))
            << row.text << " begins " << other.text;
      }
    }
    EXPECT_NE(make_output_parser(format, {}), nullptr);
  }
  EXPECT_EQ(find_chat_format("chatml"), nullptr);
}

TEST(ChatFormat, TheTemplateSaysMoreThanTheModelType) {
  EXPECT_EQ(detected("qwen3_moe", ""), "qwen_json");
  EXPECT_EQ(detected("qwen3_moe", "... <tool_call>\n{\"name\": ..."), "qwen_json");
  EXPECT_EQ(detected("qwen3_moe", "... <tool_call>\n<function= ..."), "qwen_xml");  // Qwen3-Coder
  EXPECT_EQ(detected("qwen3_5_moe", ""), "qwen_xml");
  EXPECT_EQ(detected("gpt_oss", "{{ messages }}"), "harmony");
  EXPECT_EQ(detected("gemma4", ""), "gemma4");
  EXPECT_EQ(detected("deepseek_v4", ""), "dsml");
  EXPECT_EQ(detected("unheard_of", "<|channel|>"), "harmony");
  EXPECT_EQ(detected("unheard_of", "{{ messages }}"), "none");
  EXPECT_EQ(detected("", ""), "none");
}

TEST(ChatFormat, NamesTheStopTokens) {
  EXPECT_THAT(stop_tokens(*find_chat_format("qwen_xml"), true), ElementsAre("<|im_end|>", "<|endoftext|>"));
  EXPECT_THAT(stop_tokens(*find_chat_format("harmony"), false),
              ElementsAre("<|return|>", "<|call|>", "<|endoftext|>"));
  EXPECT_THAT(stop_tokens(*find_chat_format("gemma4"), false), ElementsAre("<turn|>", "<eos>"));
  EXPECT_THAT(stop_tokens(*find_chat_format("gemma4"), true),
              ElementsAre("<turn|>", "<eos>", "<|tool_response>"));
  EXPECT_THAT(stop_tokens(*find_chat_format("dsml"), true), ElementsAre("<｜end▁of▁sentence｜>"));
}

TEST(ChatFormat, SeesWhetherThePromptOpensReasoning) {
  struct Row {
    std::string_view format, prompt;
    bool inside;
  };
  const Row rows[] = {
      {"qwen_json", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", false},
      {"qwen_json", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n", true},
      {"qwen_json", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", false},
      {"qwen_json", "<|im_start|>user\nwhat is <think>?<|im_end|>\n<|im_start|>assistant\n", false},
      {"qwen_xml", "<|im_start|>user\n</think><|im_end|>\n<|im_start|>assistant\n<think>\nFirst,", true},
      {"qwen_xml", "<think>", true},
      {"qwen_xml", "", false},
      {"dsml", "<｜User｜>Hi<｜Assistant｜><think>", true},
      {"dsml", "<｜User｜>Hi<｜Assistant｜></think>", false},
      {"gemma4", "<|turn>user\nHi<turn|>\n<|turn>model\n", false},
      {"gemma4", "<|turn>user\nHi<turn|>\n<|turn>model\n<|channel>thought\n<channel|>", false},
      {"gemma4", "<|turn>user\nHi<turn|>\n<|turn>model\n<|channel>thought\n", true},
      {"harmony", "<|start|>user<|message|>Hi<|end|><|start|>assistant", false},
      {"harmony", "<|start|>user<|message|>Hi<|end|><|start|>assistant<|channel|>analysis<|message|>So",
       true},
      {"harmony", "<|start|>assistant<|channel|>analysis<|message|>a<|end|><|start|>assistant", false},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(starts_in_reasoning(*find_chat_format(row.format), row.prompt), row.inside) << row.prompt;
  }
}

}  // namespace
}  // namespace mach
