#include "text/chat/output_parser.h"

#include <set>

#include <gtest/gtest.h>

#include "text/chat/parser_test_support.h"

namespace mach {
namespace {

TEST(CallIds, LookLikeCallIdsAndDiffer) {
  std::set<std::string> seen;
  const CallIdGenerator one = random_call_ids(1);
  const CallIdGenerator two = random_call_ids(2);
  for (int i = 0; i < 100; ++i) {
    for (const std::string& id : {one(), two()}) {
      EXPECT_TRUE(id.starts_with("call_"));
      EXPECT_EQ(id.size(), 29U);
      EXPECT_TRUE(seen.insert(id).second) << id;
    }
  }
}

TEST(FinishReason, SaysWhatTheApiSays) {
  EXPECT_EQ(finish_reason(FinishHint::kStop), "stop");
  EXPECT_EQ(finish_reason(FinishHint::kToolCalls), "tool_calls");
  EXPECT_EQ(finish_reason(FinishHint::kLength), "length");
}

std::vector<std::string> log_events(const std::vector<std::string_view>& pieces, bool whole_calls,
                                    Ending ending) {
  struct Log : EventSink {
    void on_event(const OutputEvent& event) override {
      constexpr const char* kNames[] = {"content", "reasoning", "start", "arguments", "finish", "abandon"};
      std::string line = kNames[static_cast<size_t>(event.kind)];
      line += " " + std::to_string(event.call) + " " + std::string(event.id) + " " + std::string(event.text);
      lines.push_back(line);
    }
    std::vector<std::string> lines;
  } log;
  WholeCalls whole(log);
  EventSink& sink = whole_calls ? static_cast<EventSink&>(whole) : log;
  ParserOptions options;
  options.tools = &testing::case_tools();
  options.new_call_id = testing::counted_ids();
  const auto parser = make_output_parser(*find_chat_format("qwen_xml"), options);
  for (const std::string_view piece : pieces) parser->push({-1, piece}, sink);
  parser->finish(ending, sink);
  return log.lines;
}

using Lines = std::vector<std::string>;

const std::vector<std::string_view> kCallPieces = {"Hi",
                                                   " you",
                                                   "\n",
                                                   "<tool_",
                                                   "call>\n<function=write_file>\n<parameter=text>\nab",
                                                   "cd",
                                                   "ef\n",
                                                   "</para",
                                                   "meter>\n</function>",
                                                   "</tool_call>"};

TEST(OutputParser, ReportsTextAsSoonAsItIsUnambiguous) {
  EXPECT_EQ(
      log_events(kCallPieces, false, Ending::kStopped),
      (Lines{"content 0  Hi", "content 0   you", "start 0 call_0 write_file", "arguments 0  {\"text\": \"ab",
             "arguments 0  cd", "arguments 0  ef", "arguments 0  \"}", "finish 0  "}));
}

TEST(OutputParser, AbandonsACallThatIsCutOff) {
  EXPECT_EQ(log_events({"<tool_call>{\"name\": \"f\", \"arguments\": {", "\"a\": 1"}, false, Ending::kCutOff),
            (Lines{"start 0 call_0 f", "arguments 0  {", "arguments 0  \"a\": 1", "abandon 0  ",
                   "content 0  <tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1"}));
}

TEST(OutputParser, SaysWhyItEnded) {
  struct Row {
    std::string_view text;
    Ending ending;
    FinishHint hint;
  };
  const std::string_view call = "<tool_call>{\"name\": \"f\"}</tool_call>";
  const std::string_view stopped_call = "<tool_call>{\"name\": \"f\"}</tool_call><|im_end|>";
  for (const Row& row :
       {Row{"Hi", Ending::kStopped, FinishHint::kStop}, Row{"Hi", Ending::kCutOff, FinishHint::kLength},
        Row{"Hi<|im_end|>", Ending::kCutOff, FinishHint::kStop},
        Row{call, Ending::kStopped, FinishHint::kToolCalls}, Row{call, Ending::kCutOff, FinishHint::kLength},
        Row{stopped_call, Ending::kCutOff, FinishHint::kToolCalls},
        Row{"<tool_call>{", Ending::kStopped, FinishHint::kStop}}) {
    const ParsedMessage message =
        testing::parse_pieces(*find_chat_format("qwen_json"), {}, {{-1, row.text}}, row.ending);
    EXPECT_EQ(finish_reason(message.finish), finish_reason(row.hint)) << row.text;
  }
}

TEST(WholeCalls, PassesOnlyFinishedCallsOn) {
  const std::vector<std::string_view> pieces = {
      "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\"", "]</tool_call>",
      "<tool_call>{\"name\": \"g\", \"arguments\": {", "\"b\": 2}}</tool_call>"};
  EXPECT_EQ(log_events(pieces, true, Ending::kStopped),
            (Lines{"content 0  <tool_call>{\"name\": \"f\", \"arguments\": {\"a\"]</tool_call>",
                   "start 0 call_1 g", "arguments 0  {\"b\": 2}", "finish 0  "}));
}

}  // namespace
}  // namespace mach
