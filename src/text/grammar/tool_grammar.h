// Tool calls in the wire formats of the five families, as expressions: what the parsers in text/chat read back as calls of
// declared tools with arguments under their schemas. One row per format.
//
//   qwen_json  <tool_call>\n{"name": "f", "arguments": {...}}\n</tool_call>
//   qwen_xml   <tool_call>\n<function=f>\n<parameter=p>\nVALUE\n</parameter>\n</function>\n</tool_call>
//   gemma4     <|tool_call>call:f{p:VALUE}<tool_call|>
//   dsml       <｜DSML｜tool_calls>\n<｜DSML｜invoke name="f">\n<｜DSML｜parameter name="p" string="true">...
//   harmony    <|channel|>commentary to=functions.f <|constrain|>json<|message|>{...}<|call|>
//
// Arguments of formats that write them as plain text (qwen_xml, dsml) are text under the schema where the schema says
// string, and JSON otherwise. A tool whose schema cannot be enforced has free arguments, unless it is strict: then that is
// Error{kInvalidRequest}.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "text/chat/output_parser.h"
#include "text/grammar/char_dfa.h"
#include "text/grammar/grammar.h"
#include "text/grammar/json_grammar.h"

namespace mach::grammar {

// A format's syntax as expressions: a marker is a token where the tokenizer has it as one, else its text.
class ChatSyntax {
 public:
  ChatSyntax(GrammarBuilder& builder, const MarkerLookup& marker_id) : b_(builder), marker_id_(marker_id) {}

  bool is_token(std::string_view marker) const { return marker_id_ && marker_id_(marker) >= 0; }
  ExprId marker(std::string_view text);
  // `text` with every occurrence of the marker in it as a marker.
  ExprId text_with(std::string_view text, std::string_view marker);
  // Any text without these in it; those that are tokens cannot be, whatever happens.
  ExprId free_text(std::vector<std::string_view> forbidden);
  GrammarBuilder& builder() { return b_; }

 private:
  GrammarBuilder& b_;
  const MarkerLookup& marker_id_;
};

struct ToolUse {
  std::string name;
  const nlohmann::ordered_json* parameters = nullptr;  // a schema; null: no arguments are declared
  bool bound = false;                                  // arguments must satisfy it
  bool strict = false;                                 // and if they cannot be made to, that is an error
  std::string where;                                   // of the schema, for errors
};

// What stands before the calls of a turn is the caller's business.
struct ToolFormat {
  std::string_view name;  // of ChatFormat
  std::vector<std::string_view>
      openers;  // what free text must not contain, so that a call cannot begin in it unseen
  ExprId (*calls)(ChatSyntax& syntax, JsonGrammar& json, const std::vector<ToolUse>& tools, bool parallel);
};

const ToolFormat* find_tool_format(std::string_view chat_format);

}  // namespace mach::grammar
