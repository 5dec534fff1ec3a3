// Fields of the endpoints that generate nothing: tokenize, detokenize, warm_prefix.
#pragma once

#include <string>
#include <vector>

#include "mach/session.h"

#include "server/chat_task.h"
#include "server/fields.h"
#include "server/request_fields.h"

namespace mach::server {

extern const FieldTable kTokenizeFields;
extern const FieldTable kDetokenizeFields;
extern const FieldTable kWarmPrefixFields;

struct TokenizeRequest {
  std::string text;
  bool add_special = true;
  bool with_pieces = false;
};
TokenizeRequest read_tokenize_request(const Json& body);

std::vector<TokenId> read_detokenize_request(const Json& body);

// A conversation's beginning, or a plain text.
struct WarmPrefixRequest {
  ChatTask task;       // where messages or tools are given
  std::string prompt;  // else
  bool is_chat = false;
};
WarmPrefixRequest read_warm_prefix_request(const Json& body, const RequestLimits& limits);

}  // namespace mach::server
