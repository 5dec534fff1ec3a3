// Reads messages and tools of a request from arbitrary JSON. A refusal must be a mach::Error; an accepted conversation has
// the shape that messages.h promises.
// Input: byte 0 chooses the format, the rest is JSON: {"messages": ..., "tools": ...}.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mach/error.h"

#include "text/chat/messages.h"
#include "text/chat/tool_schemas.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check_message(const mach::ChatJson& message) {
  require(message["role"].is_string() && message["content"].is_string());
  if (message["role"] == "tool") require(message["tool_call_id"].is_string() && message["name"].is_string());
  if (!message.contains("tool_calls")) return;
  require(!message["tool_calls"].empty());
  for (const mach::ChatJson& call : message["tool_calls"]) {
    require(call["function"]["name"].is_string() && call["function"]["arguments"].is_object());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const auto formats = mach::chat_formats();
  const mach::ChatFormat& format = formats[data[0] % formats.size()];
  const mach::ChatJson request = mach::ChatJson::parse(data + 1, data + size, nullptr, false);
  if (!request.is_object()) return 0;
  try {
    const mach::ToolSchemas tools(mach::normalise_tools(request.value("tools", mach::ChatJson())));
  } catch (const mach::Error&) {
  }
  try {
    for (const mach::ChatJson& message :
         mach::normalise_messages(request.value("messages", mach::ChatJson()), format)) {
      check_message(message);
    }
  } catch (const mach::Error&) {
  }
  return 0;
}
