#include "server/api_error.h"

#include <nlohmann/json.hpp>

namespace mach::server {
namespace {

struct AnthropicType {
  int status;
  std::string_view type;
};

constexpr AnthropicType kAnthropicTypes[] = {
    {400, "invalid_request_error"}, {401, "authentication_error"}, {403, "permission_error"},
    {404, "not_found_error"},       {413, "request_too_large"},    {429, "rate_limit_error"},
    {503, "overloaded_error"},
};

std::string_view anthropic_type(int status) {
  for (const AnthropicType& row : kAnthropicTypes) {
    if (row.status == status) return row.type;
  }
  return status < 500 ? "invalid_request_error" : "api_error";
}

bool is_field_character(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '[' || c == ']' || c == '-' || c == '#' || c == '/' || c == '$';
}

}  // namespace

std::string_view leading_field(std::string_view text) noexcept {
  size_t length = 0;
  while (length < text.size() && is_field_character(text[length])) ++length;
  if (length == 0 || !text.substr(length).starts_with(": ")) return {};
  return text.substr(0, length);
}

ApiError internal_error() {
  return {500, "server_error", "internal", "", "internal error, see the server's log", {}};
}

ApiError api_error(const Error& error) {
  if (error.code() == ErrorCode::kInternal) return internal_error();
  const ErrorRow& row = error_row(error.code());
  ApiError result;
  result.status = row.http_status;
  result.type = row.api_type;
  result.code = row.name;
  result.message = error.what();
  if (result.status < 500) result.param = leading_field(result.message);
  if (result.status == 429) result.retry_after = 1;
  if (const auto* refused = dynamic_cast<const RequestRefused*>(&error)) {
    result.code = refused->api_code();
    if (refused->http_status() != 0) result.status = refused->http_status();
    if (refused->retry_after()) result.retry_after = refused->retry_after();
  }
  return result;
}

Json error_body(const ApiError& error, ApiStyle style) {
  if (style == ApiStyle::kAnthropic) {
    return {{"type", "error"},
            {"error", {{"type", anthropic_type(error.status)}, {"message", error.message}}}};
  }
  const auto text_or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  return {{"error",
           {{"message", error.message},
            {"type", error.type},
            {"param", text_or_null(error.param)},
            {"code", text_or_null(error.code)}}}};
}

}  // namespace mach::server
