#include "server/text_requests.h"

#include <limits>

#include <nlohmann/json.hpp>

#include "mach/error.h"

namespace mach::server {
namespace {

constexpr FieldRow kTokenizeRows[] = {
    rows::kModel,
    {"content", kString, Handling::kUsed, "the text"},
    {"text", kString, Handling::kUsed, "another name of content"},
    {"prompt", kString, Handling::kUsed, "another name of content"},
    {"add_special", kBoolean, Handling::kUsed, "with BOS, where the tokenizer puts one; default true"},
    {"with_pieces", kBoolean, Handling::kUsed, "tokens become {id, piece}"},
};

constexpr FieldRow kDetokenizeRows[] = {
    rows::kModel,
    {"tokens", kArray, Handling::kUsed, "token ids"},
};

constexpr FieldRow kWarmPrefixRows[] = {
    rows::kModel,
    {"messages", kArray, Handling::kUsed, "the beginning of a conversation, such as its system message"},
    {"system", kString, Handling::kUsed, "short for one system message"},
    {"tools", kArray, Handling::kUsed, "as in chat completions"},
    {"prompt", kString, Handling::kUsed, "a plain text instead"},
    {"reasoning_effort", kString, Handling::kUsed, "as in the requests that follow"},
    {"chat_template_kwargs", kObject, Handling::kUsed, "the same"},
};

}  // namespace

const FieldTable kTokenizeFields{"POST /v1/tokenize", kTokenizeRows};
const FieldTable kDetokenizeFields{"POST /v1/detokenize", kDetokenizeRows};
const FieldTable kWarmPrefixFields{"POST /v1/cache/warm_prefix", kWarmPrefixRows};

TokenizeRequest read_tokenize_request(const Json& body) {
  const FieldReader fields(body, kTokenizeFields);
  TokenizeRequest request;
  const std::string* text = fields.text("content");
  if (text == nullptr) text = fields.text("text");
  if (text == nullptr) text = fields.text("prompt");
  if (text == nullptr) fields.refuse("content", "is missing");
  request.text = *text;
  request.add_special = fields.boolean("add_special").value_or(true);
  request.with_pieces = fields.flag("with_pieces");
  return request;
}

std::vector<TokenId> read_detokenize_request(const Json& body) {
  const FieldReader fields(body, kDetokenizeFields);
  std::vector<TokenId> ids;
  for (const Json& id : fields.required("tokens")) {
    const bool fits = id.is_number_integer() && id.get<int64_t>() >= 0 &&
                      id.get<int64_t>() <= std::numeric_limits<TokenId>::max();
    if (!fits) fields.refuse("tokens", "must be token ids");
    ids.push_back(id.get<TokenId>());
  }
  return ids;
}

WarmPrefixRequest read_warm_prefix_request(const Json& body, const RequestLimits& limits) {
  const FieldReader fields(body, kWarmPrefixFields);
  WarmPrefixRequest request;
  const std::string* prompt = fields.text("prompt");
  const std::string* system = fields.text("system");
  const Json* messages = fields.value("messages");
  const Json* tools = fields.value("tools");
  request.is_chat = messages != nullptr || system != nullptr || tools != nullptr;
  if (request.is_chat == (prompt != nullptr)) {
    fields.refuse("messages", "either messages, system or tools, or else prompt is needed");
  }
  if (prompt != nullptr) request.prompt = *prompt;
  if (system != nullptr) request.task.messages.push_back({{"role", "system"}, {"content", *system}});
  if (messages != nullptr) {
    for (const Json& message : checked_array(*messages, "messages", limits.max_messages)) {
      request.task.messages.push_back(message);
    }
  }
  if (tools != nullptr && !tools->empty())
    request.task.tools = checked_array(*tools, "tools", limits.max_tools);
  if (const std::string* effort = fields.text("reasoning_effort")) {
    apply_reasoning_effort(request.task.variables, *effort, "reasoning_effort");
  }
  if (const Json* variables = fields.value("chat_template_kwargs")) request.task.variables.update(*variables);
  return request;
}

}  // namespace mach::server
