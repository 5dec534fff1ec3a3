// The chat formats, one row each: how a format is recognised, which markers it has, which tokens end a turn, and the parser
// of its output. Prompts are rendered by the checkpoint's own template; only what cannot be read there stands here.
// Immutable table; functions are pure.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "text/chat/marker_scanner.h"
#include "text/chat/output_parser.h"

namespace mach {

struct ChatFormat {
  std::string_view name;
  std::span<const std::string_view> model_types;  // of config.json; a template says more than these
  std::string_view template_sign;  // text that a template with tool calls in this format contains
  std::span<const MarkerRow> markers;

  // For starts_in_reasoning(): how the model's turn begins in a prompt, and what opens and closes reasoning there.
  std::string_view turn_open;
  std::string_view user_open;  // how a user's turn begins, which is where a system prompt ends
  std::string_view reasoning_open;
  std::string_view reasoning_close;

  bool parallel_calls;        // one generation may hold several calls
  bool one_call_per_message;  // templates render one call per assistant message: see messages.h
  std::string_view
      thinking_key;  // a second name under which templates look for reasoning_content, "" if none

  std::unique_ptr<OutputParser> (*make_parser)(const ChatFormat& format, const ParserOptions& options);
};

// Ordered for detection: a template may contain the signs of several formats; the first one counts.
std::span<const ChatFormat> chat_formats();
const ChatFormat* find_chat_format(std::string_view name);  // null if there is none

// By the template's text; by config.json's model_type if the template says nothing (or is empty). Null if neither does.
const ChatFormat* detect_chat_format(std::string_view model_type, std::string_view template_text);

inline std::unique_ptr<OutputParser> make_output_parser(const ChatFormat& format,
                                                        const ParserOptions& options) {
  return format.make_parser(format, options);
}

// Whether generation continues inside the reasoning, because the last model turn of the prompt opens it and does not
// close it.
bool starts_in_reasoning(const ChatFormat& format, std::string_view rendered_prompt);

// The tokens that end a turn. To be merged with eos_token_id of generation_config.json, which the tokenizer need not list
// under these names.
std::vector<std::string_view> stop_tokens(const ChatFormat& format, bool request_has_tools);

}  // namespace mach
