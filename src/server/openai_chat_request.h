// Reads the body of POST /v1/chat/completions.
#pragma once

#include "server/chat_task.h"
#include "server/fields.h"
#include "server/request_fields.h"

namespace mach::server {

extern const FieldTable kChatFields;
extern const FieldTable kResponseFormatFields;
extern const FieldTable kJsonSchemaFields;

struct ChatRequest {
  ChatTask task;
  std::string model;                 // as the request names it
  std::vector<std::string> unknown;  // fields that were passed over
};

// Throws Error{kInvalidRequest, kUnsupported} naming the field.
ChatRequest read_chat_request(const Json& body, const RequestLimits& limits);

// Whether the schema of any tool must be enforced ("strict": true). `tools` in OpenAI's shape, or null.
bool has_strict_tool(const Json& tools);

}  // namespace mach::server
