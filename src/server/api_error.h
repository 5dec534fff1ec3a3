// Errors as clients read them. A mach::Error becomes the error object of the API that was called, with the HTTP status of
// its code; what only an API knows (its machine-readable code) is added by RequestRefused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json_fwd.hpp>

#include "mach/error.h"

namespace mach::server {

using Json = nlohmann::ordered_json;

enum class ApiStyle : uint8_t { kOpenAi, kAnthropic };

// A refusal with the `code` that OpenAI clients look at ("context_length_exceeded"), and perhaps when to try again.
class RequestRefused : public Error {
 public:
  RequestRefused(ErrorCode code, std::string api_code, const std::string& what, int http_status = 0,
                 std::optional<uint32_t> retry_after_seconds = std::nullopt)
      : Error(code, what),
        api_code_(std::move(api_code)),
        http_status_(http_status),
        retry_after_(retry_after_seconds) {}

  const std::string& api_code() const noexcept { return api_code_; }
  int http_status() const noexcept { return http_status_; }  // 0: that of the code
  const std::optional<uint32_t>& retry_after() const noexcept { return retry_after_; }

 private:
  std::string api_code_;
  int http_status_;
  std::optional<uint32_t> retry_after_;
};

struct ApiError {
  int status = 500;
  std::string type;     // OpenAI's
  std::string code;     // may be empty
  std::string param;    // the request field at fault, may be empty
  std::string message;  // one line
  std::optional<uint32_t> retry_after;
};

// Errors name the field first ("messages[2].content: ..."); it becomes `param`. The message of an internal error does not
// leave the process.
ApiError api_error(const Error& error);
ApiError internal_error();

// {"error": {message, type, param, code}}, or Anthropic's {"type": "error", "error": {type, message}}.
Json error_body(const ApiError& error, ApiStyle style);

// The field path that the text begins with, before ": "; empty if it begins with none.
std::string_view leading_field(std::string_view text) noexcept;

}  // namespace mach::server
