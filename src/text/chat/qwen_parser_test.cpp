#include "text/chat/qwen_parser.h"

#include <gtest/gtest.h>

#include "text/chat/parser_test_support.h"

namespace mach {
namespace {

using testing::check_cases;
using testing::ParserCase;

const std::string kParis = R"({"city": "Paris"})";

TEST(QwenParser, SeparatesReasoningFromContent) {
  const std::vector<ParserCase> cases = {
      {.name = "plain", .text = "Hello\nworld", .content = "Hello\nworld"},
      {.name = "empty", .text = ""},
      {.name = "only the stop token", .text = "<|im_end|>"},
      {.name = "line ends are text", .text = "\n\nHello\n\n", .content = "\n\nHello\n\n"},
      {.name = "opened by the model",
       .text = "<think>\nWhy?\nBecause.\n</think>\n\nParis.<|im_end|>",
       .content = "Paris.",
       .reasoning = "Why?\nBecause."},
      {.name = "opened by the prompt",
       .text = "Why?\n</think>\n\nParis.",
       .content = "Paris.",
       .reasoning = "Why?",
       .starts_in_reasoning = true},
      {.name = "opened by both",
       .text = "<think>\nWhy?\n</think>\n\nParis.",
       .content = "Paris.",
       .reasoning = "Why?",
       .starts_in_reasoning = true},
      {.name = "empty block", .text = "<think>\n\n</think>\n\nParis.", .content = "Paris."},
      {.name = "closed at once",
       .text = "\n</think>\n\nParis.",
       .content = "Paris.",
       .starts_in_reasoning = true},
      {.name = "never closed",
       .text = "Why? <tool_call> no\n",
       .reasoning = "Why? <tool_call> no\n",
       .ending = Ending::kCutOff,
       .starts_in_reasoning = true},
      {.name = "two blocks before the content",
       .text = "<think>\na\n</think>\n\n<think>\nb\n</think>\n\nc",
       .content = "c",
       .reasoning = "a\nb"},
      {.name = "think tags inside reasoning are text",
       .text = "<think>\na <think> b\n</think>\nc",
       .content = "c",
       .reasoning = "a <think> b"},
      {.name = "a block after content is content",
       .text = "Done.\n<think>more</think>",
       .content = "Done.\n<think>more</think>"},
      {.name = "a trailing tag costs nothing",
       .text = "A long answer.\n<think>",
       .content = "A long answer.\n<think>"},
      {.name = "a lone closing tag first", .text = "</think>\n\nParis.", .content = "Paris."},
      {.name = "a lone closing tag later", .text = "Paris.</think>x", .content = "Paris.</think>x"},
      {.name = "no call inside reasoning",
       .text = "<think>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>\n</think>\n\nok",
       .content = "ok",
       .reasoning = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"},
      {.name = "almost markers",
       .text = "a < b <think <|im_ <tool_cal",
       .content = "a < b <think <|im_ <tool_cal"},
      {.name = "emoji",
       .text = "<think>\n🤔🚀\n</think>\n\n日本語 🦊",
       .content = "日本語 🦊",
       .reasoning = "🤔🚀"},
  };
  check_cases("qwen_json", cases);
  check_cases("qwen_xml", cases);
}

TEST(QwenParser, ReadsJsonCalls) {
  const std::vector<ParserCase> cases = {
      {.name = "one",
       .text = "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": "
               "\"Paris\"}}\n</tool_call><|im_end|>",
       .calls = {{"get_weather", kParis}}},
      {.name = "compact",
       .text = R"(<tool_call>{"name":"get_weather","arguments":{"city":"Paris"}}</tool_call>)",
       .calls = {{"get_weather", kParis}}},
      {.name = "after reasoning and text",
       .text = "<think>\nTool.\n</think>\n\nSure.\n\n<tool_call>\n{\"name\": \"now\", \"arguments\": "
               "{}}\n</tool_call>\n",
       .content = "Sure.",
       .reasoning = "Tool.",
       .calls = {{"now", "{}"}}},
      {.name = "two",
       .text = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": "
               "\"f\", "
               "\"arguments\": {\"x\": [1, {\"y\": null}], \"z\": -1.5e3}}\n</tool_call>",
       .calls = {{"now", "{}"}, {"f", R"({"x": [1, {"y": null}], "z": -1.5e3})"}}},
      {.name = "content between and after",
       .text = "A\n<tool_call>{\"name\": \"now\"}</tool_call>\nB\n\n<tool_call>{\"name\": "
               "\"now\"}</tool_call>\n\nC",
       .content = "A\n\nB\n\n\n\nC",
       .calls = {{"now", "{}"}, {"now", "{}"}}},
      {.name = "arguments first",
       .text = R"(<tool_call>{"arguments": {"city": "Paris"}, "name": "get_weather"}</tool_call>)",
       .calls = {{"get_weather", kParis}}},
      {.name = "arguments as text",
       .text = R"(<tool_call>{"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}</tool_call>)",
       .calls = {{"get_weather", kParis}}},
      {.name = "parameters, null, unknown members",
       .text = R"(<tool_call>{"id": [7], "name": "now", "parameters": null, "x": {"name": "y"}}</tool_call>)",
       .calls = {{"now", "{}"}}},
      {.name = "unknown tool",
       .text = R"(<tool_call>{"name": "h\u00e9", "arguments": {"🚀": true}}</tool_call>)",
       .calls = {{"hé", R"({"🚀": true})"}}},
      {.name = "tags in a string",
       .text =
           R"(<tool_call>{"name": "write_file", "arguments": {"text": "</tool_call><think>\\\"<tool_call>"}}</tool_call>x)",
       .content = "x",
       .calls = {{"write_file", R"({"text": "</tool_call><think>\\\"<tool_call>"})"}}},
      {.name = "raw line ends in a string",
       .text = "<tool_call>{\"name\": \"write_file\", \"arguments\": {\"text\": \"a\n\tb\"}}</tool_call>",
       .calls = {{"write_file", R"({"text": "a\n\tb"})"}}},
      {.name = "no closing tag",
       .text = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n",
       .calls = {{"now", "{}"}},
       .ending = Ending::kCutOff},
      {.name = "no closing tag before the next call",
       .text = "<tool_call>{\"name\": \"now\", \"arguments\": {}}<tool_call>{\"name\": \"f\"}</tool_call>",
       .calls = {{"now", "{}"}, {"f", "{}"}}},
      {.name = "last brace missing",
       .text = "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}\n</tool_call>ok",
       .content = "ok",
       .calls = {{"get_weather", kParis}}},
      {.name = "last brace missing at the end",
       .text = "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}<|im_end|>",
       .calls = {{"get_weather", kParis}}},
      {.name = "one brace too many comes back",
       .text = "<tool_call>{\"name\": \"now\", \"arguments\": {}}} a b\n</tool_call>\n",
       .content = "} a b",
       .calls = {{"now", "{}"}}},
  };
  check_cases("qwen_json", cases);
  check_cases("qwen_xml", cases);
}

TEST(QwenParser, ReturnsBrokenJsonCallsAsContent) {
  const std::vector<std::string> broken = {
      "<tool_call>",
      "<tool_call>\n</tool_call>",
      "<tool_call>\n{}\n</tool_call>",
      "<tool_call>get_weather(city=\"Paris\")</tool_call>",
      "<tool_call>[1]</tool_call>",
      R"(<tool_call>{"arguments": {}}</tool_call>)",
      R"(<tool_call>{"name": "", "arguments": {}}</tool_call>)",
      R"(<tool_call>{"name": 3, "arguments": {}}</tool_call>)",
      R"(<tool_call>{"name": "f", "arguments": [1]}</tool_call>)",
      R"(<tool_call>{"name": "f", "arguments": 5}</tool_call>)",
      R"(<tool_call>{"name": "f", "arguments": "text"}</tool_call>)",
      R"(<tool_call>{"name": "f", "name": "g", "arguments": {}}</tool_call>)",
      R"(<tool_call>{"name": "f", "arguments": {"a": tru}}</tool_call>)",
      R"(<tool_call>{"name": "f", "arguments": {"a": 01}}</tool_call>)",
      R"(<tool_call>{"name": "f", "arguments": {'a': 1}}</tool_call>)",
      R"(<tool_call>{"name": "f", "arguments": {"a": 1]}</tool_call>)",
      R"(<tool_call>{"name": "f", "arguments": {"a": "\ud83d"}}</tool_call>)",
      R"(<tool_call>{"name": "f", "arguments": {"a": "b)",
      "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"b\n</tool_call>",
      R"(<tool_call>{"name": "f", "arguments": {"a": 1,)",
      R"(<tool_call>{"name": "f")",
      R"(<tool_call>{"name": "f"</tool_call>)",
      "<tool_call>" + std::string(300, '['),
      R"(<tool_call>{"name": "f", "arguments": {"a": )" + std::string(300, '['),
  };
  std::vector<ParserCase> cases;
  for (const std::string& text : broken) {
    cases.push_back({.name = text, .text = text, .content = text});
    // What follows is parsed again.
    if (text.ends_with("</tool_call>")) {
      cases.push_back({.name = text,
                       .text = "Hi\n" + text + "\n<tool_call>{\"name\": \"now\"}</tool_call>",
                       .content = "Hi\n" + text,
                       .calls = {{"now", "{}"}}});
    }
  }
  check_cases("qwen_json", cases);
}

TEST(QwenParser, ReadsXmlCalls) {
  const std::vector<ParserCase> cases = {
      {.name = "one",
       .text = "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</"
               "tool_call>",
       .calls = {{"get_weather", kParis}}},
      {.name = "no parameters",
       .text = "Now:\n\n<tool_call>\n<function=now>\n</function>\n</tool_call><|im_end|>",
       .content = "Now:",
       .calls = {{"now", "{}"}}},
      {.name = "types by schema",
       .text =
           "<tool_call>\n<function=get_weather>\n<parameter=city>\n12\n</parameter>\n<parameter=days>\n3\n</"
           "parameter>\n"
           "<parameter=metric>\nTrue\n</parameter>\n<parameter=scale>\n2.50\n</parameter>\n<parameter=tags>\n"
           "['a', True, None]\n</parameter>\n<parameter=options>\n{\"deep\": {\"x\": 1}}\n</parameter>\n"
           "<parameter=limit>\n7\n</parameter>\n<parameter=unknown>\n5\n</parameter>\n</function>\n</"
           "tool_call>",
       .calls = {{"get_weather",
                  R"({"city": "12", "days": 3, "metric": true, "scale": 2.50, "tags": ["a", true, null],
                      "options": {"deep": {"x": 1}}, "limit": 7, "unknown": "5"})"}}},
      {.name = "null in any case, and text that only begins like it",
       .text = "<tool_call><function=write_file><parameter=path>NULL</parameter><parameter=text>\nnullify\n</"
               "parameter>"
               "</function></tool_call>",
       .calls = {{"write_file", R"({"path": null, "text": "nullify"})"}}},
      {.name = "only one line end on each side goes",
       .text = "<tool_call>\n<function=write_file>\n<parameter=path>\n\n a "
               "\n\n</parameter>\n<parameter=text>\n</parameter>\n"
               "</function>\n</tool_call>",
       .calls = {{"write_file", R"({"path": "\n a \n", "text": ""})"}}},
      {.name = "several lines, quotes, unicode",
       .text = "<tool_call>\n<function=write_file>\n<parameter=text>\nif a < b && "
               "c:\n\tprint(\"é🚀\\n\")\n</parameter>\n"
               "</function>\n</tool_call>",
       .calls = {{"write_file", R"json({"text": "if a < b && c:\n\tprint(\"é🚀\\n\")"})json"}}},
      {.name = "tags in a value",
       .text = "<tool_call>\n<function=write_file>\n<parameter=text>\nuse </tool_call> and <parameter=x> "
               "</function>\n"
               "<tool_call>\n<think>\n</function>\nmore\n<parameter=text>\n<function=now>\n</parameter>\n</"
               "function>\n"
               "</tool_call>",
       .calls =
           {{"write_file",
             R"({"text": "use </tool_call> and <parameter=x> </function>\n<tool_call>\n<think>\n</function>\nmore\n<parameter=text>\n<function=now>"})"}}},
      {.name = "two blocks",
       .text = "<tool_call>\n<function=now>\n</function>\n</"
               "tool_call>\n<tool_call>\n<function=f>\n<parameter=a>\n1\n"
               "</parameter>\n</function>\n</tool_call>\n",
       .calls = {{"now", "{}"}, {"f", R"({"a": "1"})"}}},
      {.name = "two functions in one block",
       .text = "<tool_call>\n<function=now>\n</function>\n<function=f>\n</function>\n</tool_call>",
       .calls = {{"now", "{}"}, {"f", "{}"}}},
      {.name = "no opening tag",
       .text =
           "Sure.\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>",
       .content = "Sure.",
       .calls = {{"get_weather", kParis}}},
      {.name = "no closing tags at the model's end",
       .text = "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<|im_end|>",
       .calls = {{"get_weather", kParis}}},
      {.name = "no </function>",
       .text = "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</tool_call>",
       .calls = {{"get_weather", kParis}}},
      {.name = "no closing tags before the next call",
       .text = "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</"
               "parameter>\n<tool_call>\n<function=now>\n"
               "</function>\n</tool_call>",
       .calls = {{"get_weather", kParis}, {"now", "{}"}}},
      {.name = "no </parameter> before the next parameter",
       .text = "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n<parameter=days>\n3\n</"
               "parameter>\n</function>\n"
               "</tool_call>",
       .calls = {{"get_weather", R"({"city": "Paris", "days": 3})"}}},
      {.name = "no </parameter> at the end",
       .text = "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</function>\n</tool_call>\n",
       .calls = {{"get_weather", kParis}}},
      {.name = "no </parameter> before the next call",
       .text = "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</function>\n</"
               "tool_call>\n<tool_call>\n"
               "<function=now>\n</function>\n</tool_call>",
       .calls = {{"get_weather", kParis}, {"now", "{}"}}},
      {.name = "no </parameter> and no </function>",
       .text = "<tool_call>\n<function=get_weather>\n<parameter=days>\n3\n</tool_call><|im_end|>",
       .calls = {{"get_weather", R"({"days": 3})"}}},
      {.name = "a given parameter's tag is text",
       .text = "<tool_call>\n<function=write_file>\n<parameter=text>\na\n<parameter=text>\nb\n</"
               "parameter>\n</function>\n"
               "</tool_call>",
       .calls = {{"write_file", R"({"text": "a\n<parameter=text>\nb"})"}}},
  };
  check_cases("qwen_xml", cases);
  check_cases("qwen_json", cases);
}

TEST(QwenParser, ReturnsBrokenXmlCallsAsContent) {
  const std::vector<std::string> broken = {
      "<tool_call>\n<function=",
      "<tool_call>\n<function=now",
      "<tool_call>\n<function=>\n</function>\n</tool_call>",
      "<tool_call>\n<function=a\nb>\n</function>\n</tool_call>",
      "<tool_call>\n<function=now>\nhello\n</function>\n</tool_call>",
      "<tool_call>\n<parameter=city>\nParis\n</parameter>\n</tool_call>",
      "<tool_call>\n<function=now>\n</parameter>\n</function>\n</tool_call>",
      "<tool_call>\n<function=now>\n<think>\n</function>\n</tool_call>",
      "<tool_call>\n<function=f>\n<parameter=>\n</parameter>\n</function>\n</tool_call>",
      "<tool_call>\n<function=f>\n<parameter=a</parameter>\n</function>\n</tool_call>",
      "<tool_call>\n<function=f>\n<parameter=a>\nvalue",
      "<tool_call>\n<function=f>\n<parameter=a>\nvalue</tool_call>",
      "<tool_call>\n<function=" + std::string(300, 'x') + ">\n</function>\n</tool_call>",
  };
  std::vector<ParserCase> cases;
  cases.reserve(broken.size() + 2);
  for (const std::string& text : broken) cases.push_back({.name = text, .text = text, .content = text});
  const std::string cut = "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n";
  cases.push_back(
      {.name = "more parameters may have come", .text = cut, .content = cut, .ending = Ending::kCutOff});
  const std::string prose = "Write <function=foo> and <parameter=p> so.\n<function=";
  cases.push_back({.name = "tags of no declared tool are prose", .text = prose, .content = prose});
  check_cases("qwen_xml", cases);
}

TEST(QwenParser, LeavesCallsInContentOnRequest) {
  const std::string text =
      "Hi\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>\n<function=now>\n</function>";
  check_cases("qwen_xml", {{.name = "off", .text = text, .content = text, .parse_calls = false}});
}

// With ids, the tags are tokens; the same letters from ordinary tokens are text.
TEST(QwenParser, KnowsMarkersByIdWhereTheyHaveOne) {
  const ChatFormat* format = find_chat_format("qwen_json");
  ParserOptions options;
  options.marker_id = [](std::string_view name) {
    return name == "<tool_call>" ? 7 : name == "</tool_call>" ? 8 : -1;
  };
  const std::vector<TokenPiece> pieces = {
      {1, "say <tool_call>"},     {2, " "}, {7, ""},     {3, "{\"name\": \"f\", \"argu"},
      {4, "ments\": {\"a\": \""}, {8, ""},  {5, "\"}}"}, {8, "</tool_call>"}};
  const ParsedMessage message = testing::parse_pieces(*format, options, pieces, Ending::kStopped);
  EXPECT_EQ(message.content, "say <tool_call> ");
  ASSERT_EQ(message.tool_calls.size(), 1U);
  EXPECT_EQ(message.tool_calls[0].arguments, R"({"a": "</tool_call>"})");
  EXPECT_EQ(message.finish, FinishHint::kToolCalls);
}

}  // namespace
}  // namespace mach
