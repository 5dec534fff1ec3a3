// Parses what Gemma 4 generates: content, thoughts in channels and calls,
//   <|channel>thought\nREASONING\n<channel|>CONTENT<|tool_call>call:f{city:<|"|>Paris<|"|>}<tool_call|>
// The line after <|channel> names the channel; all of a channel is reasoning, and the usual name "thought" is not reported.
// A namespace before the function's name ("default_api:f") is dropped. A call whose braces are closed counts even if
// <tool_call|> is missing. Markers inside a string are text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/chat/gemma_arguments.h"
#include "text/chat/marker_parser.h"

namespace mach {

class GemmaParser final : public MarkerParser {
 public:
  GemmaParser(std::span<const MarkerRow> markers, const ParserOptions& options);

 private:
  enum class State : uint8_t {
    kContent,
    kChannelName,
    kReasoning,
    kCallName,
    kArguments,
    kCallDone,
    kCallTrailer
  };

  void read_text(std::string_view text) override;
  void read_marker(Marker marker, std::string_view spelling) override;
  void read_end(Ending ending) override;

  std::string_view consume(std::string_view text);  // returns what is left
  std::string_view consume_channel_name(std::string_view text);
  std::string_view consume_call_name(std::string_view text);
  std::string_view consume_arguments(std::string_view text);
  void content_marker(Marker marker, std::string_view spelling);
  void end_channel_name();
  void close_channel();
  void break_call();

  State state_ = State::kContent;
  std::string name_;  // of a channel or call being read
  std::optional<GemmaArguments> arguments_;
};

}  // namespace mach
