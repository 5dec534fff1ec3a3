// POST /v1/completions: its request fields, and its answers as a whole or as a stream.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "server/chat_task.h"
#include "server/fields.h"
#include "server/job_reply.h"
#include "server/request_fields.h"

namespace mach::server {

extern const FieldTable kCompletionFields;

struct CompletionRequest {
  std::vector<std::variant<std::string, std::vector<TokenId>>> prompts;  // at least one
  GenerationRequest generation;
  StreamRequest stream;
  std::string model;
  std::vector<std::string> unknown;
};

// Throws Error{kInvalidRequest, kUnsupported} naming the field.
CompletionRequest read_completion_request(const Json& body, const RequestLimits& limits);

struct CompletionFormatOptions {
  std::string id;  // "cmpl-..."
  const ServedModel* model = nullptr;
  bool logprobs = false;
  bool include_usage = false;
  size_t choices_per_prompt = 1;
};

// Choice i belongs to prompt i / choices_per_prompt.
std::unique_ptr<ReplyFormat> make_completion_format(CompletionFormatOptions options);

}  // namespace mach::server
