// Parses what DeepSeek V4 generates: <think> reasoning, content, and blocks of calls in DSML tags (bars are U+FF5C):
//   <｜DSML｜tool_calls>
//   <｜DSML｜invoke name="f">
//   <｜DSML｜parameter name="city" string="true">Paris</｜DSML｜parameter>
//   <｜DSML｜parameter name="days" string="false">3</｜DSML｜parameter>
//   </｜DSML｜invoke>
//   </｜DSML｜tool_calls>
// string="true" is verbatim text, "false" is JSON (text if it is not); without the attribute the tool's schema decides.
// V3.2's block name function_calls and a missing first bar are accepted. Missing closing tags after a complete parameter are
// tolerated at the model's own end and before the next tag; an invoke without a block only if it names a declared tool.
// A value ends at its closing tag and nowhere else; all other tags in it are text.
#pragma once

#include <string>
#include <string_view>

#include "text/chat/argument_object.h"
#include "text/chat/marker_parser.h"

namespace mach {

class DsmlParser final : public ThinkParser {
 public:
  DsmlParser(std::span<const MarkerRow> markers, const ParserOptions& options);

 private:
  enum class State : uint8_t {
    kContent,
    kBlock,         // between invokes
    kInvokeTag,     // in the attributes of an invoke
    kInvoke,        // between parameters
    kParameterTag,  // in the attributes of a parameter
    kValue,
  };

  void body_text(std::string_view text) override;
  void body_marker(Marker marker, std::string_view spelling) override;
  void body_end(Ending ending) override;
  bool at_content() const override { return state_ == State::kContent; }

  std::string_view consume(std::string_view text);  // returns what is left
  std::string_view consume_tag(std::string_view text);
  void content_marker(Marker marker, std::string_view spelling);
  void block_marker(Marker marker, std::string_view spelling);
  void invoke_marker(Marker marker, std::string_view spelling);

  void begin_tag(State state, std::string_view spelling);
  void start_invoke();
  void start_parameter();
  void end_value();
  void finish_invoke();
  void break_call();

  State state_ = State::kContent;
  bool bare_ = false;  // an invoke without a block
  std::string tag_;    // the attributes read so far
  bool in_quotes_ = false;
  std::string function_;
  std::string parameter_;
  ArgumentObject arguments_{out_};
  bool text_value_ = false;   // the value is passed on as text
  std::string value_string_;  // the attribute: "true", "false" or ""
  std::string value_;         // otherwise
};

}  // namespace mach
