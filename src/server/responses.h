// POST /v1/responses, OpenAI's newer API: request fields, and answers as a whole or as a stream. Nothing is stored, so a
// conversation comes whole in `input` each time. Inside, a request is the same ChatTask as a chat completion.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/chat_task.h"
#include "server/fields.h"
#include "server/job_reply.h"
#include "server/request_fields.h"

namespace mach::server {

extern const FieldTable kResponsesFields;

struct ResponsesRequest {
  ChatTask task;
  std::string model;
  std::vector<std::string> unknown;
  bool with_logprobs = false;
  bool with_encrypted_reasoning = false;  // include: reasoning.encrypted_content
  Json echo;                              // the request's fields that the response object repeats
};

// Throws Error{kInvalidRequest, kUnsupported} naming field and item.
ResponsesRequest read_responses_request(const Json& body, const RequestLimits& limits);

// What stands for a reasoning item's encrypted_content: nothing is encrypted, but clients that keep only this field send
// the reasoning back with it.
std::string pack_reasoning(const std::string& text);
std::string unpack_reasoning(const std::string& packed);  // empty for anything else

struct ResponsesFormatOptions {
  std::string id;  // "resp_..."
  const ServedModel* model = nullptr;
  bool with_logprobs = false;
  bool with_encrypted_reasoning = false;
  Json echo;
};

std::unique_ptr<ReplyFormat> make_responses_format(ResponsesFormatOptions options);

}  // namespace mach::server
