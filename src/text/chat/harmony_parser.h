// Parses what gpt-oss generates in the harmony format. A generation is a sequence of messages,
//   <|start|>HEADER<|message|>BODY then <|end|>, <|call|> or <|return|>
// whose first header is begun by the prompt ("<|start|>assistant"). The header says what the body is:
//   to=functions.NAME, in the role or the channel part   a call; the body is its JSON arguments
//   channel analysis                                      reasoning
//   all else (final, commentary without recipient)        content
// Messages of one kind are set apart by a line end. Headers are syntax and are not reported. <|channel|> or <|start|> in a
// body begins the next message even if <|end|> is missing. What stands where a header should and is none is content, and
// so is its body.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/chat/json_scanner.h"
#include "text/chat/marker_parser.h"

namespace mach {

// What a header says. Views into the header.
struct HarmonyHeader {
  std::string_view channel;    // empty if none
  std::string_view recipient;  // without "to=", empty if none
};
// header: from its <|start|> on, or what follows the prompt's. Empty if it has words or markers that no header has; up
// to one word for the role, two for the channel (a type may follow) and one after <|constrain|> are read.
std::optional<HarmonyHeader> read_harmony_header(std::string_view header);

class HarmonyParser final : public MarkerParser {
 public:
  HarmonyParser(std::span<const MarkerRow> markers, const ParserOptions& options);

 private:
  enum class State : uint8_t { kHeader, kContent, kReasoning, kCall, kCallDone, kBetween };

  void read_text(std::string_view text) override;
  void read_marker(Marker marker, std::string_view spelling) override;
  void read_end(Ending ending) override;

  void begin_header(std::string_view spelling);
  void header_text(std::string_view text);
  void begin_body();
  void begin_content();
  std::string_view call_text(std::string_view text);
  void finish_call();
  void break_call();
  void end_body();

  State state_ = State::kHeader;
  bool from_prompt_ = true;  // the header was begun by the prompt
  std::string header_;       // with its markers spelled out
  std::optional<JsonScanner> json_;
};

}  // namespace mach
