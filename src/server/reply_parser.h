// Turns the pieces that a generation releases into what an API answers with, for one choice: reasoning, content with the
// log-probabilities of its tokens, tool calls. Over it lies the parser of the model's chat format; without a format (plain
// completions, unknown dialects) everything is content.
//
// A call is passed on only when it is complete, so that a client never acts on one that then turns out broken; the text
// of a broken call is content.
//
// Single-owner.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/generation.h"
#include "text/chat/chat_format.h"

namespace mach::server {

struct ScoredToken {
  TokenId id = 0;
  std::string text;
  float logprob = 0;
  std::vector<TokenLogprob> top;
};

struct ReplyDelta {
  enum class Kind : uint8_t { kReasoning, kContent, kCall };
  Kind kind = Kind::kContent;
  std::string text;                 // kReasoning, kContent
  std::vector<ScoredToken> tokens;  // kContent, if log-probabilities were asked for
  size_t call_index = 0;            // kCall, from 0
  ToolCall call;
};

struct ReplyParserOptions {
  const ChatFormat* format = nullptr;  // must outlive the parser, like the tools in `parser`
  ParserOptions parser;
  const Tokenizer* tokenizer = nullptr;  // set where log-probabilities are wanted
  bool parallel_calls = true;  // false: what follows the first call is dropped, and wants_end() says so
};

// The finished message of a choice.
struct ReplyMessage {
  std::string content;
  std::string reasoning;
  std::vector<ToolCall> calls;
  std::vector<ScoredToken> tokens;  // of the content
  uint32_t reasoning_tokens = 0;
  std::string_view finish_reason;  // OpenAI's: stop, length, tool_calls
};

class ReplyParser {
 public:
  explicit ReplyParser(ReplyParserOptions options);
  ReplyParser(const ReplyParser&) = delete;
  ReplyParser& operator=(const ReplyParser&) = delete;
  ~ReplyParser();

  std::vector<ReplyDelta> push(const std::vector<TextPiece>& pieces);
  // No more pieces come. `finish` is kCancelled also where wants_end() asked for it.
  std::vector<ReplyDelta> finish(FinishReason finish);

  // After the first call, where one is all that may be.
  bool wants_end() const noexcept { return wants_end_; }

  // Complete after finish().
  const ReplyMessage& message() const noexcept { return message_; }

 private:
  class Sink;

  void take_event(const OutputEvent& event);
  void emit_text(ReplyDelta::Kind kind, std::string_view text);
  std::vector<ScoredToken> claim_tokens(std::string_view text);

  const ReplyParserOptions options_;
  std::unique_ptr<OutputParser> parser_;  // null without a format
  std::unique_ptr<Sink> sink_;
  std::vector<ReplyDelta> deltas_;
  std::deque<ScoredToken> unclaimed_;  // pushed, their text not yet reported
  ReplyMessage message_;
  ToolCall open_call_;
  ReplyDelta::Kind last_kind_ = ReplyDelta::Kind::kContent;
  bool wants_end_ = false;
};

}  // namespace mach::server
