// Parses what Qwen3, Qwen3-Coder, Qwen3.5 and Qwen3.6 generate: <think> reasoning, content, and calls inside <tool_call>,
// whose body is either one JSON object (Qwen3) or XML-like tags (the others). Both bodies are accepted whatever the
// model, since the first byte tells them apart.
//   <tool_call>\n{"name": "f", "arguments": {"n": 3}}\n</tool_call>
//   <tool_call>\n<function=f>\n<parameter=n>\n3\n</parameter>\n</function>\n</tool_call>
// Tolerated, because models do it:
//   - no </tool_call> or </function> at the model's own end, or before the next call;
//   - <function=f> without <tool_call>, if f is a declared tool;
//   - no </parameter> before <parameter=p> on a line of its own, if p is declared and not yet given;
//   - no </parameter> before a line with </function> or </tool_call>, if the call really ends there: only closing tags
//     up to the next call or the end.
// Anything else that is wrong breaks the call (see output_parser.h). Tags are text inside a JSON string, and inside a value
// except as above; </parameter> always ends a value.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/chat/argument_object.h"
#include "text/chat/json_call_reader.h"
#include "text/chat/marker_parser.h"
#include "text/chat/xml_value.h"

namespace mach {

class QwenParser final : public ThinkParser {
 public:
  QwenParser(std::span<const MarkerRow> markers, const ParserOptions& options);

 private:
  enum class State : uint8_t {
    kContent,
    kCallOpen,       // after <tool_call>
    kJson,           // in the JSON body
    kFunctionName,   // after <function=
    kFunction,       // between parameters
    kParameterName,  // after <parameter=
    kValue,          // between <parameter=p> and </parameter>
    kCallDone,       // the call is finished, </tool_call> may follow
    kCallTrailer,    // content where </tool_call> should have followed
  };
  // Closing tags seen inside a value whose </parameter> may be missing.
  enum class Tail : uint8_t { kNone, kFunctionClosed, kCallClosed, kNextParameter };

  void body_text(std::string_view text) override;
  void body_marker(Marker marker, std::string_view spelling) override;
  void body_end(Ending ending) override;
  bool at_content() const override { return state_ == State::kContent; }

  std::string_view consume(std::string_view text);  // returns what is left
  std::string_view consume_name(std::string_view text);
  std::string_view consume_json(std::string_view text);
  std::string_view consume_tail(std::string_view text);
  std::string_view skip_space(std::string_view text);
  void content_marker(Marker marker, std::string_view spelling);
  void json_marker(Marker marker, std::string_view spelling);
  void function_marker(Marker marker, std::string_view spelling);
  void value_marker(Marker marker, std::string_view spelling);
  bool tail_marker(Marker marker, std::string_view spelling);

  void start_function();
  void start_value(std::string_view name);
  void end_value();
  void finish_function(State next);
  void break_call();
  void break_at(Marker marker, std::string_view spelling);
  void tail_is_text();

  State state_ = State::kContent;
  bool bare_ = false;  // the call began with <function= in content
  std::optional<JsonCallReader> json_;
  std::string name_;     // of the function, once complete
  std::string partial_;  // a name being read
  ArgumentObject arguments_{out_};
  std::optional<XmlValue> value_;
  Tail tail_ = Tail::kNone;
  std::string tail_text_;
};

}  // namespace mach
