// Brings the messages and tools of an OpenAI-style request into the one shape that chat templates can count on, so that a
// template meets no missing key and no surprise of type. What it refuses is an Error{kInvalidRequest} whose text begins with
// the field ("messages[2].tool_calls[0].function.arguments: ...").
//
// Result, per message, keys in this order and no others:
//   role               system, user, assistant or tool
//   content            always a string; the text parts of an array are joined by line ends
//   reasoning_content  assistant, if not empty; from reasoning_content, reasoning or thinking
//   tool_calls         assistant, if not empty: {id, type, function: {name, arguments}}, arguments an object, keys in order
//   tool_call_id, name tool; the name is that of the call it answers
// Rules:
//   - developer means system. System text, wherever it stands, becomes one first message: some templates refuse, others
//     silently drop a system message in a later place.
//   - A tool message answers a call of an earlier assistant message. Answers that follow each other are sorted into the order
//     of the calls, because most templates show no ids.
//   - Formats with one call per message (harmony): an assistant message with several calls becomes several, each with its
//     answer; content beside a call joins the reasoning, where those templates put it.
// Pure functions.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "text/chat/chat_format.h"

namespace mach {

using ChatJson = nlohmann::ordered_json;

// messages: a non-empty array. Throws Error{kInvalidRequest}.
ChatJson normalise_messages(const ChatJson& messages, const ChatFormat& format);

// tools: an array, or null for none. Returns the array as it came, so that templates print it unchanged, after checking
// type, name (letters, digits, "_", "-", "."; unique), description and parameters. Throws Error{kInvalidRequest}.
ChatJson normalise_tools(const ChatJson& tools);

}  // namespace mach
