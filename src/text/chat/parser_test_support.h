// For the tests of the output parsers: feeds one text in many ways and checks that every way gives the same message, that
// the events follow the rules of output_parser.h, and that message and events agree.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "text/chat/chat_format.h"
#include "text/chat/tool_schemas.h"

namespace mach::testing {

// Checks the order of events and rebuilds the message from them.
class EventChecker : public EventSink {
 public:
  void on_event(const OutputEvent& event) override {
    using Kind = OutputEvent::Kind;
    EXPECT_TRUE(is_valid_utf8(event.text)) << event.text;
    switch (event.kind) {
      case Kind::kContent:
      case Kind::kReasoning:
        EXPECT_FALSE(event.text.empty());
        EXPECT_FALSE(open_) << "text inside a call";
        (event.kind == Kind::kContent ? message.content : message.reasoning).append(event.text);
        break;
      case Kind::kCallStarted:
        EXPECT_FALSE(open_);
        EXPECT_EQ(event.call, started_);
        EXPECT_FALSE(event.text.empty());
        EXPECT_FALSE(event.id.empty());
        open_ = true;
        ++started_;
        call_ = {std::string(event.id), std::string(event.text), ""};
        break;
      case Kind::kCallArguments:
        EXPECT_TRUE(open_);
        EXPECT_EQ(event.call + 1, started_);
        EXPECT_FALSE(event.text.empty());
        call_.arguments.append(event.text);
        break;
      case Kind::kCallFinished:
        EXPECT_TRUE(open_);
        EXPECT_EQ(event.call + 1, started_);
        EXPECT_TRUE(nlohmann::json::parse(call_.arguments, nullptr, false).is_object()) << call_.arguments;
        message.tool_calls.push_back(call_);
        open_ = false;
        break;
      case Kind::kCallAbandoned:
        EXPECT_TRUE(open_);
        ++abandoned;
        open_ = false;
    }
  }

  void expect_complete() const { EXPECT_FALSE(open_) << "a call without end"; }

  ParsedMessage message;
  size_t abandoned = 0;

 private:
  bool open_ = false;
  size_t started_ = 0;
  ToolCall call_;
};

inline std::string describe(const ParsedMessage& message) {
  std::string text = "reasoning=" + message.reasoning + "\ncontent=" + message.content + "\n";
  for (const ToolCall& call : message.tool_calls)
    text += call.id + " " + call.name + " " + call.arguments + "\n";
  return text + "finish=" + std::string(finish_reason(message.finish));
}

// Ids call_0, call_1, ... so that messages can be compared.
inline CallIdGenerator counted_ids() {
  return [next = 0]() mutable { return "call_" + std::to_string(next++); };
}

// Parses pieces and checks events against message. WholeCalls sees the same events and must agree on finished calls.
inline ParsedMessage parse_pieces(const ChatFormat& format, ParserOptions options,
                                  const std::vector<TokenPiece>& pieces, Ending ending) {
  if (!options.new_call_id) options.new_call_id = counted_ids();
  struct Fork : EventSink {
    void on_event(const OutputEvent& event) override {
      direct.on_event(event);
      whole.on_event(event);
    }
    EventChecker direct, finished_only;
    WholeCalls whole{finished_only};
  } sink;
  const auto parser = make_output_parser(format, options);
  for (const TokenPiece& piece : pieces) parser->push(piece, sink);
  ParsedMessage message = parser->finish(ending, sink);
  sink.direct.expect_complete();
  sink.direct.message.finish = sink.finished_only.message.finish = message.finish;
  EXPECT_EQ(describe(sink.direct.message), describe(message));
  EXPECT_EQ(describe(sink.finished_only.message), describe(message));
  EXPECT_EQ(sink.finished_only.abandoned, 0U);
  return message;
}

inline std::vector<TokenPiece> split_at(std::string_view text, const std::vector<size_t>& cuts) {
  std::vector<TokenPiece> pieces;
  size_t from = 0;
  for (const size_t cut : cuts) {
    pieces.push_back({-1, text.substr(from, cut - from)});
    from = cut;
  }
  pieces.push_back({-1, text.substr(from)});
  return pieces;
}

inline std::vector<size_t> random_cuts(std::mt19937& random, size_t size, size_t mean_piece) {
  std::vector<size_t> cuts;
  for (size_t at = 0;;) {
    at += 1 + random() % (2 * mean_piece);
    if (at >= size) return cuts;
    cuts.push_back(at);
  }
}

// Whole, byte by byte, in two pieces cut anywhere (all cuts of short texts, else some), in random pieces.
inline ParsedMessage parse_every_way(const ChatFormat& format, const ParserOptions& options,
                                     std::string_view text, Ending ending) {
  ParsedMessage whole = parse_pieces(format, options, {{-1, text}}, ending);
  const auto expect_same = [&](const std::vector<size_t>& cuts) {
    const ParsedMessage other = parse_pieces(format, options, split_at(text, cuts), ending);
    EXPECT_EQ(describe(other), describe(whole)) << "cut differently: " << text;
  };
  std::vector<size_t> every_byte;
  for (size_t i = 1; i < text.size(); ++i) every_byte.push_back(i);
  expect_same(every_byte);
  const size_t step = 1 + text.size() / 400;
  for (size_t i = 1; i < text.size(); i += step) expect_same({i});
  std::mt19937 random(static_cast<unsigned>(text.size()));
  for (int round = 0; round < 8; ++round) expect_same(random_cuts(random, text.size(), 1 + random() % 12));
  return whole;
}

struct ExpectedCall {
  std::string name;
  std::string arguments;  // JSON, compared as a value
};

struct ParserCase {
  std::string name;
  std::string text;
  std::string content;
  std::string reasoning;
  std::vector<ExpectedCall> calls;
  Ending ending = Ending::kStopped;
  bool starts_in_reasoning = false;
  bool parse_calls = true;
};

// The tools that the cases may use.
inline const ToolSchemas& case_tools() {
  static const ToolSchemas kTools(nlohmann::ordered_json::parse(R"([
    {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {
      "city": {"type": "string"}, "days": {"type": "integer"}, "metric": {"type": "boolean"},
      "scale": {"type": "number"}, "tags": {"type": "array"}, "options": {"type": "object"},
      "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}}}},
    {"type": "function", "function": {"name": "write_file", "parameters": {"type": "object", "properties": {
      "path": {"type": "string"}, "text": {"type": "string"}}}}},
    {"type": "function", "function": {"name": "now"}}])"));
  return kTools;
}

inline void check_case(const ChatFormat& format, const ParserCase& test) {
  SCOPED_TRACE(std::string(format.name) + ": " + test.name);
  ParserOptions options;
  options.tools = &case_tools();
  options.starts_in_reasoning = test.starts_in_reasoning;
  options.parse_calls = test.parse_calls;
  const ParsedMessage message = parse_every_way(format, options, test.text, test.ending);
  EXPECT_EQ(message.content, test.content);
  EXPECT_EQ(message.reasoning, test.reasoning);
  ASSERT_EQ(message.tool_calls.size(), test.calls.size()) << describe(message);
  for (size_t i = 0; i < test.calls.size(); ++i) {
    EXPECT_EQ(message.tool_calls[i].name, test.calls[i].name);
    EXPECT_EQ(nlohmann::json::parse(message.tool_calls[i].arguments).dump(),
              nlohmann::json::parse(test.calls[i].arguments).dump());
  }
}

inline void check_cases(std::string_view format_name, const std::vector<ParserCase>& cases) {
  const ChatFormat* format = find_chat_format(format_name);
  ASSERT_NE(format, nullptr);
  for (const ParserCase& test : cases) check_case(*format, test);
}

}  // namespace mach::testing
