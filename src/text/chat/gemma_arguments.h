// Translates the arguments of a Gemma 4 call into JSON while they arrive:
//   {city:<|"|>Paris<|"|>,days:3,tags:[<|"|>a<|"|>],opt:{deep:true}}
// Text between string delimiters is verbatim, whatever it contains. Bare values are numbers, true, false or null (in
// Python spelling too); any other bare text is taken as a string, as are "..." strings, which are read as JSON. Keys are bare,
// delimited or in JSON quotes. Single-owner; nesting is limited to kMaxJsonDepth.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/chat/message_writer.h"

namespace mach {

class GemmaArguments {
 public:
  enum class Status : uint8_t { kMore, kDone, kBroken };

  explicit GemmaArguments(MessageWriter& out) : out_(out) {}

  // The first byte must be the opening brace. kDone: this byte closed it.
  Status feed(char c);
  // A string delimiter.
  Status delimiter();
  bool in_string() const { return state_ == State::kString || state_ == State::kKeyString; }
  // Text inside a delimited string.
  void string_text(std::string_view text);

 private:
  enum class State : uint8_t {
    kStart,
    kKey,
    kKeyString,
    kColon,
    kValue,
    kString,
    kQuoted,
    kBare,
    kAfter,
    kDone
  };

  Status open(char bracket);
  Status close(char bracket);
  Status begin_value(char c);
  void begin_element();
  bool end_key();
  void end_bare();

  MessageWriter& out_;
  State state_ = State::kStart;
  std::string stack_;     // the open brackets
  bool first_ = true;     // no element yet in the innermost bracket
  bool escaped_ = false;  // the last byte of a quoted string was a backslash
  std::string text_;      // a key or bare value being read
};

}  // namespace mach
