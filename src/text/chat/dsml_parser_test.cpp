#include "text/chat/dsml_parser.h"

#include <gtest/gtest.h>

#include "text/chat/parser_test_support.h"

namespace mach {
namespace {

using testing::check_cases;
using testing::ParserCase;

const std::string kParis = R"({"city": "Paris"})";

// Writes the DSML marker where a text has "<@" or "</@".
std::string dsml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '@') {
      out += "｜DSML｜";
    } else {
      out += c;
    }
  }
  return out;
}

const std::string kParisCall = dsml(
    "<@tool_calls>\n<@invoke name=\"get_weather\">\n<@parameter name=\"city\" "
    "string=\"true\">Paris</@parameter>\n</@invoke>\n"
    "</@tool_calls>");

TEST(DsmlParser, SeparatesReasoningFromContent) {
  check_cases("dsml", {
                          {.name = "plain", .text = "Hello<｜end▁of▁sentence｜>", .content = "Hello"},
                          {.name = "opened by the prompt",
                           .text = "Why?</think>Paris.",
                           .content = "Paris.",
                           .reasoning = "Why?",
                           .starts_in_reasoning = true},
                          {.name = "opened by the model",
                           .text = "<think>Why?</think>\n\nParis.",
                           .content = "Paris.",
                           .reasoning = "Why?"},
                          {.name = "only the first close counts",
                           .text = "Why?</think><think>x</think>y</think>",
                           .content = "<think>x</think>y</think>",
                           .reasoning = "Why?",
                           .starts_in_reasoning = true},
                          {.name = "never closed",
                           .text = "Why?" + kParisCall,
                           .reasoning = "Why?" + kParisCall,
                           .ending = Ending::kCutOff,
                           .starts_in_reasoning = true},
                          {.name = "almost markers",
                           .text = "a\n\n<｜DSML｜tool_call <｜D",
                           .content = "a\n\n<｜DSML｜tool_call <｜D"},
                      });
}

TEST(DsmlParser, ReadsCalls) {
  check_cases(
      "dsml",
      {
          {.name = "one",
           .text = "\n\n" + kParisCall + "<｜end▁of▁sentence｜>",
           .calls = {{"get_weather", kParis}}},
          {.name = "after reasoning and text",
           .text = "Tool.</think>Sure.\n\n" + kParisCall,
           .content = "Sure.",
           .reasoning = "Tool.",
           .calls = {{"get_weather", kParis}},
           .starts_in_reasoning = true},
          {.name = "types",
           .text = dsml(
               "<@tool_calls>\n<@invoke name=\"f\">\n<@parameter name=\"a\" string=\"false\">3</@parameter>\n"
               "<@parameter name=\"b\" string=\"false\"> [true, {\"x\": null}] </@parameter>\n"
               "<@parameter name=\"c\" string=\"true\">3</@parameter>\n<@parameter string=\"false\" "
               "name=\"d\">not "
               "JSON</@parameter>\n<@parameter name=\"e\" "
               "string=\"true\">null</@parameter>\n</@invoke>\n</@tool_calls>"),
           .calls = {{"f", R"({"a": 3, "b": [true, {"x": null}], "c": "3", "d": "not JSON", "e": "null"})"}}},
          {.name = "without the attribute the schema decides",
           .text = dsml("<@tool_calls><@invoke name=\"get_weather\"><@parameter "
                        "name=\"days\">3</@parameter><@parameter "
                        "name=\"city\">7</@parameter><@parameter "
                        "name=\"other\">8</@parameter></@invoke></@tool_calls>"),
           .calls = {{"get_weather", R"({"days": 3, "city": "7", "other": "8"})"}}},
          {.name = "values are verbatim",
           .text = dsml("<@tool_calls>\n<@invoke name=\"write_file\">\n<@parameter name=\"text\" "
                        "string=\"true\">\n a < b \"é🚀\" "
                        "</@invoke> </think> &lt; \n</@parameter>\n</@invoke>\n</@tool_calls>"),
           .calls = {{"write_file",
                      dsml("{\"text\": \"\\n a < b \\\"é🚀\\\" </@invoke> </think> &lt; \\n\"}")}}},
          {.name = "two invokes, no parameters",
           .text = dsml("<@tool_calls>\n<@invoke name=\"now\">\n\n</@invoke>\n<@invoke "
                        "name=\"now\">\n</@invoke>\n</@tool_calls>\n"),
           .calls = {{"now", "{}"}, {"now", "{}"}}},
          {.name = "names of V3.2, first bar missing",
           .text = dsml("<@function_calls>\n<@invoke "
                        "name=\"now\">\n</@invoke>\n</@function_calls><DSML｜tool_calls><DSML｜invoke "
                        "name=\"f\"><DSML｜parameter name=\"a\" "
                        "string=\"true\">1</DSML｜parameter></DSML｜invoke></DSML｜tool_calls>"),
           .calls = {{"now", "{}"}, {"f", R"({"a": "1"})"}}},
          {.name = "no closing tags at the model's end",
           .text = dsml("<@tool_calls>\n<@invoke name=\"now\">\n<｜end▁of▁sentence｜>"),
           .calls = {{"now", "{}"}}},
          {.name = "no closing tag before the next",
           .text = dsml("<@tool_calls>\n<@invoke name=\"now\">\n<@invoke name=\"now\">\n</@tool_calls>"),
           .calls = {{"now", "{}"}, {"now", "{}"}}},
          {.name = "an invoke without a block",
           .text = dsml("Sure.\n<@invoke name=\"now\">\n</@invoke>\n</@tool_calls>"),
           .content = "Sure.",
           .calls = {{"now", "{}"}}},
          {.name = "text after the block",
           .text = kParisCall + "\nDone.",
           .content = "Done.",
           .calls = {{"get_weather", kParis}}},
          {.name = "a quoted bracket",
           .text = dsml("<@tool_calls><@invoke name=\"a>b\"></@invoke></@tool_calls>"),
           .calls = {{"a>b", "{}"}}},
      });
}

TEST(DsmlParser, ReturnsBrokenCallsAsContent) {
  std::vector<ParserCase> cases;
  for (const char* body :
       {"<@tool_calls>", "<@tool_calls></@tool_calls>", "<@tool_calls>hello</@tool_calls>",
        "<@tool_calls><@invoke>", "<@tool_calls><@invoke name=\"\"></@invoke></@tool_calls>",
        "<@tool_calls><@invoke name=\"f\"", "<@tool_calls><@invoke name=\"f",
        "<@tool_calls><@invoke name=\"f\">text</@invoke></@tool_calls>",
        "<@tool_calls></@invoke></@tool_calls>",
        "<@tool_calls><@invoke name=\"f\"><@parameter>1</@parameter></@invoke></@tool_calls>",
        "<@tool_calls><@invoke name=\"f\"><@parameter name=\"a\" string=\"true\">1",
        "<@tool_calls><@invoke name=\"f\"><@parameter name=\"a\" string=\"true\">1</@invoke></@tool_calls>",
        "<@tool_calls><@invoke name=\"f\"></@parameter></@invoke></@tool_calls>",
        "<@tool_calls><@parameter name=\"a\" string=\"true\">1</@parameter></@tool_calls>",
        "see <@invoke name=\"nothing\">"}) {
    cases.push_back({.name = body, .text = dsml(body), .content = dsml(body)});
  }
  const std::string cut = dsml("<@tool_calls>\n<@invoke name=\"now\">\n");
  cases.push_back({.name = "more may have come", .text = cut, .content = cut, .ending = Ending::kCutOff});
  const std::string second = dsml("<@invoke name=\"f\">oops</@invoke>");
  cases.push_back({.name = "good calls survive a broken one",
                   .text = dsml("<@tool_calls>\n<@invoke name=\"now\">\n</@invoke>\n") + second +
                           dsml("\n<@invoke name=\"now\">\n</@invoke>\n</@tool_calls>"),
                   .content = second,
                   .calls = {{"now", "{}"}, {"now", "{}"}}});
  cases.push_back({.name = "off", .text = kParisCall, .content = kParisCall, .parse_calls = false});
  check_cases("dsml", cases);
}

}  // namespace
}  // namespace mach
