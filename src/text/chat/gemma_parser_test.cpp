#include "text/chat/gemma_parser.h"

#include <gtest/gtest.h>

#include "text/chat/parser_test_support.h"

namespace mach {
namespace {

using testing::check_cases;
using testing::ParserCase;

const std::string kParis = R"({"city": "Paris"})";

TEST(GemmaParser, SeparatesChannelsFromContent) {
  check_cases(
      "gemma4",
      {
          {.name = "plain", .text = "Hello\n<turn|>", .content = "Hello\n"},
          {.name = "thought",
           .text = "<|channel>thought\nWhy? 🤔\n<channel|>Paris.<turn|>",
           .content = "Paris.",
           .reasoning = "Why? 🤔"},
          {.name = "empty thought", .text = "<|channel>thought\n<channel|>Paris.", .content = "Paris."},
          {.name = "no line end after the name",
           .text = "<|channel>thought<channel|>Paris.",
           .content = "Paris."},
          {.name = "another channel",
           .text = "<|channel>plan\na\nb<channel|>c",
           .content = "c",
           .reasoning = "plan\na\nb"},
          {.name = "two thoughts",
           .text = "<|channel>thought\na\n<channel|>x<|channel>thought\nb\n<channel|>y",
           .content = "xy",
           .reasoning = "a\nb"},
          {.name = "never closed",
           .text = "<|channel>thought\na <|tool_call>call:now{}<tool_call|>\n",
           .reasoning = "a <|tool_call>call:now{}<tool_call|>\n",
           .ending = Ending::kCutOff},
          {.name = "opened by the prompt",
           .text = "a\n<channel|>b",
           .content = "b",
           .reasoning = "a",
           .starts_in_reasoning = true},
          {.name = "cut in the name", .text = "<|channel>thou", .ending = Ending::kCutOff},
          {.name = "lone markers are text",
           .text = "a<channel|>b<|\"|>c<tool_call|>",
           .content = "a<channel|>b<|\"|>c<tool_call|>"},
      });
}

TEST(GemmaParser, ReadsCalls) {
  check_cases(
      "gemma4",
      {
          {.name = "one",
           .text = "<|tool_call>call:get_weather{city:<|\"|>Paris<|\"|>}<tool_call|><|tool_response>",
           .calls = {{"get_weather", kParis}}},
          {.name = "all kinds of values",
           .text = "<|tool_call>call:f{a:1,b:-2.50,c:true,d:false,e:None,g:null,h:[<|\"|>x<|\"|>,2,[]],i:{j:{"
                   "k:<|\"|><|\"|>}},l:{}}"
                   "<tool_call|>",
           .calls = {{"f",
                      R"({"a": 1, "b": -2.50, "c": true, "d": false, "e": null, "g": null, "h": ["x", 2, []],
                               "i": {"j": {"k": ""}}, "l": {}})"}}},
          {.name = "two calls after text",
           .text =
               "Sure.\n<|tool_call>call:now{}<tool_call|><|tool_call>call:now{}<tool_call|><|tool_response>",
           .content = "Sure.",
           .calls = {{"now", "{}"}, {"now", "{}"}}},
          {.name = "after a thought",
           .text = "<|channel>thought\nTool.\n<channel|><|tool_call>call:now{}<tool_call|>",
           .reasoning = "Tool.",
           .calls = {{"now", "{}"}}},
          {.name = "strings are opaque",
           .text = "<|tool_call>call:f{a:<|\"|>}, {\"x\": \\n} <tool_call|> <|channel> "
                   "<b>\n🚀<|\"|>,b:2}<tool_call|>",
           .calls = {{"f", "{\"a\": \"}, {\\\"x\\\": \\\\n} <tool_call|> <|channel> <b>\\n🚀\", \"b\": 2}"}}},
          {.name = "namespace, spaces, keys of any kind",
           .text = "<|tool_call>call:default_api:f { some-key : 1 , <|\"|>q k<|\"|> : 2 , \"j\\u006b\" : 3 , "
                   "é: 4 , }<tool_call|>",
           .calls = {{"f", R"({"some-key": 1, "q k": 2, "jk": 3, "é": 4})"}}},
          {.name = "JSON strings and bare words",
           .text = "<|tool_call>call:f{a:\"x\\\"y\",b:New York,c:12a,d:1e400,e:\"bad \\q\"}<tool_call|>",
           .calls = {{"f", R"({"a": "x\"y", "b": "New York", "c": "12a", "d": "1e400", "e": "bad \\q"})"}}},
          {.name = "no closing marker",
           .text = "<|tool_call>call:now{}",
           .calls = {{"now", "{}"}},
           .ending = Ending::kCutOff},
          {.name = "text after the braces",
           .text = "<|tool_call>call:now{} } a b<tool_call|>x",
           .content = "} a bx",
           .calls = {{"now", "{}"}}},
      });
}

TEST(GemmaParser, ReturnsBrokenCallsAsContent) {
  std::vector<ParserCase> cases;
  for (const char* body :
       {"", "call:", "call:{}", "now{}", "call:now", "call:a b{}", "call:f{a}", "call:f{:1}", "call:f{a:1",
        "call:f{a:}", "call:f{a:1]}", "call:f{a:[1}}", "call:f{a:<|\"|>x}", "call:f{a:<|\"|>x<|\"|><|\"|>}",
        "call:f{{}}", "call:f{a:1,,b:2}", "call:f{a<|\"|>b<|\"|>:1}", "call:f\n{}"}) {
    const std::string text = std::string("<|tool_call>") + body;
    cases.push_back({.name = body, .text = text, .content = text});
    if (text.find("\"|>x}") != std::string::npos) continue;  // an open string swallows the closing marker
    cases.push_back({.name = body,
                     .text = "Hi" + text + "<tool_call|><|tool_call>call:now{}<tool_call|>",
                     .content = "Hi" + text + "<tool_call|>",
                     .calls = {{"now", "{}"}}});
  }
  const std::string deep = "<|tool_call>call:f{a:" + std::string(300, '[');
  const std::string long_name = "<|tool_call>call:" + std::string(300, 'x') + "{}<tool_call|>";
  cases.push_back({.name = "long name", .text = long_name, .content = long_name});
  cases.push_back({.name = "deep", .text = deep, .content = deep});
  const std::string call = "<|tool_call>call:now{}<tool_call|>";
  cases.push_back({.name = "off", .text = call, .content = call, .parse_calls = false});
  check_cases("gemma4", cases);
}

}  // namespace
}  // namespace mach
