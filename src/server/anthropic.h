// POST /v1/messages and /v1/messages/count_tokens, the API of Anthropic's SDKs: request fields, and answers as a whole or
// as a stream. Inside, a request is the same ChatTask as an OpenAI one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/chat_task.h"
#include "server/fields.h"
#include "server/job_reply.h"
#include "server/request_fields.h"

namespace mach::server {

extern const FieldTable kMessagesFields;
extern const FieldTable kAnthropicToolFields;

struct MessagesRequest {
  ChatTask task;
  std::string model;
  std::vector<std::string> unknown;
};

// count_only: max_tokens may be missing. Throws Error{kInvalidRequest, kUnsupported} naming field and message.
MessagesRequest read_messages_request(const Json& body, const RequestLimits& limits, bool count_only);

struct MessagesFormatOptions {
  std::string id;  // "msg_..."
  const ServedModel* model = nullptr;
  uint32_t prompt_tokens = 0;
};

std::unique_ptr<ReplyFormat> make_messages_format(MessagesFormatOptions options);

}  // namespace mach::server
