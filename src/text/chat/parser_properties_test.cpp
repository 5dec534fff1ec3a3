// Properties that hold for any output of a model, tried on random mixtures of a format's syntax and words.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "text/chat/parser_test_support.h"

namespace mach {
namespace {

// A fragment may contain '#': it becomes a word that occurs nowhere else.
struct Mixture {
  const char* format;
  std::vector<const char*> fragments;
};

const std::vector<Mixture>& mixtures() {
  static const std::vector<Mixture> kMixtures = {
      {"qwen_json",
       {"<think>", "</think>", "\n", "\n\n", " ", "#", "# é🚀 #\n", "<tool_call>\n", "\n</tool_call>",
        "<tool_call>{", "{\"name\": \"#\", \"arguments\": {\"#\": \"# </tool_call>\\n\"}}",
        "{\"name\": \"#\", \"arguments\": {}", "{\"arguments\": {\"#\": [1, \"#\"]}, \"name\": \"#\"}", "}",
        "\"", "<|im_end|>", "<", "<tool_"}},
      {"qwen_xml",
       {"<think>",
        "</think>",
        "\n",
        "\n\n",
        "#",
        "# é🚀 #\n",
        "<tool_call>\n",
        "\n</tool_call>\n",
        "<function=#>\n",
        "\n</function>\n",
        "<function=write_file>\n",
        "<parameter=#>\n",
        "<parameter=text>\n",
        "\n</parameter>\n",
        "null",
        "{\"#\": 1}",
        "<|im_end|>",
        "<tool_call>\n<function=write_file>\n<parameter=path>\n#\n</parameter>\n<parameter=text>\n",
        "<",
        "</para"}},
      {"gemma4",
       {"<|channel>thought\n",
        "<|channel>#\n",
        "<channel|>",
        "\n",
        "#",
        "# é🚀 #\n",
        "<|tool_call>",
        "<|tool_call>call:#{#:<|\"|>#<|\"|>}<tool_call|>",
        "<|tool_call>call:now{#: [#, ",
        "call:#{",
        "<tool_call|>",
        "<|\"|>",
        "#:",
        ":",
        ",",
        "{",
        "}",
        "[",
        "]",
        "3",
        "true",
        "call:#{#:<|\"|>#<|\"|>,#:[#,{#:1}]}",
        "<|tool_response>",
        "<turn|>",
        "\"#\"",
        "<|",
        " "}},
      {"dsml",
       {"<think>", "</think>", "\n", "\n\n", "#", "# é🚀 #\n", "<｜DSML｜tool_calls>\n",
        "</｜DSML｜tool_calls>", "<｜DSML｜invoke name=\"#\">\n", "<｜DSML｜invoke name=\"now\">\n",
        "</｜DSML｜invoke>\n", "<｜DSML｜parameter name=\"#\" string=\"true\">",
        "<｜DSML｜parameter name=\"#\" string=\"false\">", "<｜DSML｜parameter name=\"text\">",
        "</｜DSML｜parameter>\n", "[\"#\"]", "<｜end▁of▁sentence｜>", "<｜DSML", "<"}},
      {"harmony",
       {"<|start|>assistant<|channel|>final<|message|>", "<|start|>assistant<|channel|>analysis<|message|>",
        "<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>",
        "<|channel|>commentary<|message|>", "<|end|>", "<|call|>", "<|return|>", "#", "# é🚀 #\n", "\n",
        "{\"#\": \"#\"}", "{\"#\": ", "\"#\"", "}", "[", "<|constrain|>", "<|message|>", "<|mess", "<"}},
  };
  return kMixtures;
}

std::string mix(const Mixture& mixture, std::mt19937& random, std::vector<std::string>& words) {
  std::string text;
  for (size_t count = 1 + random() % 14; count > 0; --count) {
    std::string_view fragment = mixture.fragments[random() % mixture.fragments.size()];
    // Words in a harmony header are syntax and are not reported, so headers stay whole there.
    const bool header = fragment.find("<|channel|>") != std::string_view::npos;
    if (!header && random() % 8 == 0) fragment = fragment.substr(0, 1 + random() % fragment.size());
    for (const char c : fragment) {
      if (c != '#') {
        text.push_back(c);
        continue;
      }
      words.push_back("w" + std::to_string(words.size()) + "q");
      text += words.back();
    }
  }
  return text;
}

std::string everything(const ParsedMessage& message) {
  std::string text = message.reasoning + "|" + message.content;
  for (const ToolCall& call : message.tool_calls) text += "|" + call.name + "|" + call.arguments;
  return text;
}

class ParserProperties : public ::testing::TestWithParam<size_t> {};

TEST_P(ParserProperties, NoWordIsLostAndCutsDoNotMatter) {
  const Mixture& mixture = mixtures()[GetParam()];
  const ChatFormat& format = *find_chat_format(mixture.format);
  std::mt19937 random(7);
  size_t calls = 0;
  for (int round = 0; round < 2500 && !HasFailure(); ++round) {
    std::vector<std::string> words;
    std::string text = mix(mixture, random, words);
    if (format.name == "harmony") text.insert(0, "<|channel|>final<|message|>");
    SCOPED_TRACE(text);
    ParserOptions options;
    if (random() % 2 == 0) options.tools = &testing::case_tools();
    options.starts_in_reasoning = random() % 4 == 0;
    options.parse_calls = random() % 8 != 0;
    const Ending ending = random() % 2 == 0 ? Ending::kStopped : Ending::kCutOff;
    const ParsedMessage message = testing::parse_pieces(format, options, {{-1, text}}, ending);
    calls += message.tool_calls.size();
    for (int cut = 0; cut < 3; ++cut) {
      const auto cuts = testing::random_cuts(random, text.size(), cut == 0 ? 1 : 6);
      EXPECT_EQ(
          testing::describe(testing::parse_pieces(format, options, testing::split_at(text, cuts), ending)),
          testing::describe(message));
    }
    const std::string said = everything(message);
    for (const std::string& word : words) EXPECT_NE(said.find(word), std::string::npos) << word << " is lost";
  }
  EXPECT_GT(calls, 50U) << "the mixture is too wild to test calls";
}

INSTANTIATE_TEST_SUITE_P(Formats, ParserProperties, ::testing::Range(size_t{0}, size_t{5}),
                         [](const auto& test) { return std::string(mixtures()[test.param].format); });

}  // namespace
}  // namespace mach
