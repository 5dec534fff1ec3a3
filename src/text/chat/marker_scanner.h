// Splits generated tokens into text and markers. A marker is a piece of a chat format's syntax with a fixed spelling: a
// special token, or plain text such as "</parameter>". What a marker means in its place is the parser's business; it
// also turns markers back into text where they cannot mean anything.
// Text is made valid UTF-8 on the way: characters cut apart are joined, bytes that belong to none become U+FFFD.
// Work is proportional to the text (times the few markers of a format); at most one marker's length is held back.
// Single-owner.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/chat/output_parser.h"

namespace mach {

enum class Marker : uint8_t {
  kStop,  // any token that ends the turn
  kThinkOpen,
  kThinkClose,
  kCallOpen,
  kCallClose,
  kFunctionOpen,
  kFunctionClose,
  kParameterOpen,
  kParameterClose,
  kMessageStart,     // harmony
  kMessageEnd,       // harmony
  kMessageBody,      // harmony
  kChannel,          // harmony
  kConstrain,        // harmony
  kStringDelimiter,  // Gemma
};

enum class MarkerMatch : uint8_t {
  kToken,  // by id where the tokenizer has it as one token, else by text
  kText,   // always by text: it is spelled with several tokens
};

enum class StopRule : uint8_t { kNever, kAlways, kWithTools };  // kWithTools: when the request declares tools

struct MarkerRow {
  std::string_view text;  // begins with '<'; no marker of a format is a prefix of another
  Marker marker;
  MarkerMatch match = MarkerMatch::kToken;
  StopRule stops = StopRule::kNever;
};

class MarkerScanner {
 public:
  class Handler {
   public:
    virtual ~Handler() = default;
    virtual void on_text(std::string_view text) = 0;                       // not empty
    virtual void on_marker(Marker marker, std::string_view spelling) = 0;  // spelling: as in the row
  };

  MarkerScanner(std::span<const MarkerRow> rows, const MarkerLookup& marker_id);
  void push(TokenPiece piece, Handler& handler);
  void flush(Handler& handler);  // no more tokens: what was held back is text

 private:
  void append(std::string_view bytes);
  void scan(bool final, Handler& handler);
  void emit_text(size_t begin, size_t end, Handler& handler);

  std::vector<std::pair<int32_t, const MarkerRow*>> by_id_;
  std::vector<const MarkerRow*> by_text_;
  std::string partial_;  // the first bytes of a character cut apart
  std::string buffer_;   // valid UTF-8 that has not been handed on
};

}  // namespace mach
