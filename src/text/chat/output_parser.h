// An OutputParser turns what a model generates, token by token, into what an API answers with: reasoning, content and
// tool calls. One object parses one generated message; chat_format.h chooses which kind.
//
// Events come as soon as they are unambiguous. Held back are only: a possible beginning of a marker, line ends that may
// belong to a marker, a split character, and values whose JSON form depends on their end (numbers in the XML formats).
// All text in events is whole, valid UTF-8.
//
// Nothing the model wrote is lost. A call that turns out to be broken (invalid JSON, wrong nesting, cut off) ends with
// kCallAbandoned, and its text, markers included, follows as content. Markers of a well-formed message and the line
// ends that set them apart are the only text that is not reported.
//
// Single-owner: push() and finish() from one thread at a time. Neither throws on any model output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace mach {

class ToolSchemas;

struct TokenPiece {
  int32_t id = -1;        // token id, -1 for text without one
  std::string_view text;  // its bytes; may be empty for special tokens, may cut a character apart
};

struct OutputEvent {
  enum class Kind : uint8_t {
    kContent,        // text
    kReasoning,      // text
    kCallStarted,    // call, id, text = function name
    kCallArguments,  // call, text; the texts of one finished call concatenate to one JSON object
    kCallFinished,   // call
    kCallAbandoned,  // call; its arguments so far are void, its raw text follows as content
  };
  Kind kind;
  size_t call = 0;  // counts started calls from 0, abandoned ones included
  std::string_view id;
  std::string_view text;  // valid during the call only
};

class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void on_event(const OutputEvent& event) = 0;
};

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON text of one object
};

// Why no more tokens come.
enum class Ending : uint8_t {
  kStopped,  // the model ended its turn (stop token), or a stop string matched
  kCutOff,   // token limit, cancellation
};

enum class FinishHint : uint8_t { kStop, kToolCalls, kLength };

struct ParsedMessage {
  std::string content;
  std::string reasoning;
  std::vector<ToolCall> tool_calls;  // the finished ones
  FinishHint finish = FinishHint::kStop;
};

// The OpenAI finish_reason: "stop", "tool_calls" or "length".
std::string_view finish_reason(FinishHint hint);

using MarkerLookup = std::function<int32_t(std::string_view token)>;
using CallIdGenerator = std::function<std::string()>;

struct ParserOptions {
  // The id of a marker that is one token of this tokenizer, -1 if it is not. A marker with an id is recognised by that id
  // only (its spelling in ordinary tokens is text); one without is recognised by its text. Unset: all by text.
  MarkerLookup marker_id;
  // Called once per started call. Unset: random_call_ids(0), which repeats itself from message to message.
  CallIdGenerator new_call_id;
  // Of the request, for formats whose arguments carry no types. May be null; must outlive the parser.
  const ToolSchemas* tools = nullptr;
  bool starts_in_reasoning = false;  // see starts_in_reasoning() in chat_format.h
  bool parse_calls = true;           // false (tool_choice "none"): calls stay content
};

class OutputParser {
 public:
  virtual ~OutputParser() = default;
  virtual void push(TokenPiece piece, EventSink& sink) = 0;
  // Ends the message: reports what was held back and decides about an open call. A stop marker that was pushed counts
  // as kStopped whatever `ending` says. To be called once, last.
  virtual ParsedMessage finish(Ending ending, EventSink& sink) = 0;
};

// "call_" and 24 letters and digits from a generator of its own; different seeds give different sequences.
CallIdGenerator random_call_ids(uint64_t seed);

// Passes events on, but each call only as a whole, once it is finished: for clients that act on a call without waiting
// for its end. Abandoned calls disappear (their text comes as content); the others are numbered without gaps.
class WholeCalls : public EventSink {
 public:
  explicit WholeCalls(EventSink& next) : next_(next) {}
  void on_event(const OutputEvent& event) override;

 private:
  EventSink& next_;
  ToolCall open_;
  size_t finished_ = 0;
};

}  // namespace mach
