// Writes chat completions: OpenAI's chat.completion object, or its stream of chat.completion.chunk events.
#pragma once

#include <memory>
#include <string>

#include "server/job_reply.h"

namespace mach::server {

struct ChatFormatOptions {
  std::string id;  // "chatcmpl-..."
  const ServedModel* model = nullptr;
  bool logprobs = false;
  bool include_usage = false;
};

std::unique_ptr<ReplyFormat> make_chat_format(ChatFormatOptions options);

}  // namespace mach::server
