#include "text/chat/harmony_parser.h"

#include <gtest/gtest.h>

#include "text/chat/parser_test_support.h"

namespace mach {
namespace {

using testing::check_cases;
using testing::ParserCase;

const std::string kParis = R"({"city": "Paris"})";

TEST(HarmonyParser, SeparatesChannels) {
  check_cases(
      "harmony",
      {
          {.name = "final only",
           .text = "<|channel|>final<|message|>Hello\n<|return|>",
           .content = "Hello\n"},
          {.name = "analysis, then final",
           .text = "<|channel|>analysis<|message|>Why?<|end|><|start|>assistant<|channel|>final<|message|>"
                   "Paris 🗼.<|return|>",
           .content = "Paris 🗼.",
           .reasoning = "Why?"},
          {.name = "preamble, then final",
           .text = "<|channel|>commentary<|message|>Let me "
                   "see.<|end|><|start|>assistant<|channel|>final<|message|>Ok<|return|>",
           .content = "Let me see.\nOk"},
          {.name = "two analysis messages",
           .text = "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>analysis<|message|>b<|"
                   "end|>",
           .reasoning = "a\nb"},
          {.name = "no channel", .text = "<|message|>Hello<|end|>", .content = "Hello"},
          {.name = "no header at all", .text = " Hello there<|return|>", .content = " Hello there"},
          {.name = "text that begins like a recipient", .text = "to", .content = "to"},
          {.name = "missing end",
           .text = "<|channel|>analysis<|message|>Why?<|start|>assistant<|channel|>final<|message|>Yes",
           .content = "Yes",
           .reasoning = "Why?"},
          {.name = "missing end and start",
           .text = "<|channel|>analysis<|message|>Why?<|channel|>final<|message|>Yes",
           .content = "Yes",
           .reasoning = "Why?"},
          {.name = "cut in the reasoning",
           .text = "<|channel|>analysis<|message|>Why? <|constrain|> <\n",
           .reasoning = "Why? <|constrain|> <\n",
           .ending = Ending::kCutOff},
          {.name = "cut in a header", .text = "<|channel|>anal", .ending = Ending::kCutOff},
          {.name = "text between messages",
           .text = "<|channel|>final<|message|>A<|end|>\nB<|start|>assistant<|channel|>final<|message|>C<|"
                   "return|>",
           .content = "A\nB\nC"},
          {.name = "opened by the prompt",
           .text = "Why?<|end|><|start|>assistant<|channel|>final<|message|>Yes<|return|>",
           .content = "Yes",
           .reasoning = "Why?",
           .starts_in_reasoning = true},
          {.name = "a header that is none",
           .text = "<|channel|>final I think that<|message|>yes<|return|>",
           .content = "<|channel|>final I think that<|message|>yes"},
          {.name = "a header without end",
           .text = "<|channel|>final " + std::string(2000, 'x') + "<|message|>",
           .content = "<|channel|>final " + std::string(2000, 'x') + "<|message|>"},
      });
}

TEST(HarmonyParser, ReadsCalls) {
  check_cases(
      "harmony",
      {
          {.name = "recipient in the channel part",
           .text = "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{\"city\": "
                   "\"Paris\"}<|call|>",
           .calls = {{"get_weather", kParis}}},
          {.name = "recipient in the role part, as history shows it",
           .text =
               " to=functions.get_weather<|channel|>commentary json<|message|>{\"city\": \"Paris\"}<|call|>",
           .calls = {{"get_weather", kParis}}},
          {.name = "no space before constrain, no constrain",
           .text = "<|channel|>commentary to=functions.f<|constrain|>json<|message|>{\"a\": [true, "
                   "null]}<|call|><|start|>"
                   "assistant to=functions.g<|channel|>commentary<|message|>{}<|call|>",
           .calls = {{"f", R"({"a": [true, null]})"}, {"g", "{}"}}},
          {.name = "after reasoning and a preamble",
           .text = "<|channel|>analysis<|message|>Tool.<|end|><|start|>assistant<|channel|>commentary<|"
                   "message|>Looking."
                   "<|end|><|start|>assistant<|channel|>commentary to=functions.now "
                   "<|constrain|>json<|message|>{}<|call|>",
           .content = "Looking.",
           .reasoning = "Tool.",
           .calls = {{"now", "{}"}}},
          {.name = "built-in tool",
           .text = "<|channel|>analysis to=browser.search code<|message|>{\"query\": \"x\"}<|call|>",
           .calls = {{"browser.search", R"({"query": "x"})"}}},
          {.name = "recipient straight after the channel marker",
           .text = "<|channel|>to=functions.now<|message|>{}<|call|>",
           .calls = {{"now", "{}"}}},
          {.name = "empty body",
           .text = "<|channel|>commentary to=functions.now<|message|> <|call|>",
           .calls = {{"now", "{}"}}},
          {.name = "complete but cut off",
           .text = "<|channel|>commentary to=functions.now<|message|>{\"a\": \"<b> <|message|>\"}",
           .calls = {{"now", R"({"a": "<b> <|message|>"})"}},
           .ending = Ending::kCutOff},
          {.name = "more after the object",
           .text = "<|channel|>commentary to=functions.now<|message|>{}\n}<|call|>",
           .content = "}",
           .calls = {{"now", "{}"}}},
          {.name = "raw line end in a string",
           .text = "<|channel|>commentary to=functions.f<|message|>{\"a\": \"x\ny🚀\"}<|call|>",
           .calls = {{"f", R"({"a": "x\ny🚀"})"}}},
      });
}

TEST(HarmonyParser, ReturnsBrokenCallsAsContent) {
  const std::string header = "<|channel|>commentary to=functions.f <|constrain|>json<|message|>";
  std::vector<ParserCase> cases;
  for (const char* body :
       {"hello", "[1]", "{\"a\": 1", "{\"a\": tru}", "{\"a\" 1}", "{\"a\": \"b", "print(1)", "\"text\""}) {
    cases.push_back({.name = body, .text = header + body + "<|call|>", .content = header + body});
    cases.push_back({.name = body,
                     .text = "<|channel|>final<|message|>Hi<|end|><|start|>assistant" + header + body +
                             "<|end|><|start|>assistant<|channel|>final<|message|>Bye<|return|>",
                     .content = "Hi\n<|start|>assistant" + header + body + "\nBye"});
  }
  check_cases("harmony", cases);
  const std::string call = header + "{}";
  check_cases("harmony", {{.name = "off", .text = call, .content = call, .parse_calls = false}});
}

TEST(HarmonyParser, ReadsHeaders) {
  struct Row {
    std::string_view header, channel, recipient;
  };
  const Row rows[] = {
      {"", "", ""},
      {"<|start|>assistant", "", ""},
      {"<|channel|>final", "final", ""},
      {"<|start|>assistant to=x.y<|channel|>commentary json", "commentary", "x.y"},
      {"<|channel|>commentary to=functions.f<|constrain|>json", "commentary", "functions.f"},
      {"<|channel|>commentary <|constrain|>json to=functions.f", "commentary", "functions.f"},
      {"<|channel|> analysis  to=python code", "analysis", "python"},
      {"<|channel|>to=f", "", "f"},
      {"<|channel|>to=f commentary", "commentary", "f"},
  };
  for (const Row& row : rows) {
    const auto header = read_harmony_header(row.header);
    ASSERT_TRUE(header) << row.header;
    EXPECT_EQ(header->channel, row.channel) << row.header;
    EXPECT_EQ(header->recipient, row.recipient) << row.header;
  }
  for (const char* header :
       {"<|start|>a b", "<|channel|>analysis json more", "<|channel|>final<|channel|>final",
        "<|constrain|>a b", "<|message|>", "a<b", "<|channel|>goto=f", "<|channel|>é",
        "to=", "<|channel|>fi{\"a\"", "<|start|>a<|start|>b", "<|channel|>c to=a to=b json", "<"}) {
    EXPECT_FALSE(read_harmony_header(header)) << header;
  }
}

}  // namespace
}  // namespace mach
