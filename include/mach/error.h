// The one error type of mach. Operations that cannot go on (opening a model, parsing a file, admitting a
// request, a failed expert read) throw mach::Error; expected outcomes are return values. The table below is
// the only place that maps a code to an HTTP status, a process exit code and the `type` field of an
// OpenAI-style error object.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace mach {

enum class ErrorCode : uint8_t {
  kUsage,           // the command line is wrong
  kInvalidRequest,  // a request field, prompt, template input or id is wrong
  kUnauthorized,    // missing or wrong credentials
  kNotFound,        // a file, model or endpoint does not exist
  kTooLarge,        // over a stated limit (body, context, header)
  kOverloaded,      // try again later
  kUnsupported,     // well-formed, but this engine cannot do it (unknown model_type, codec, keyword)
  kCorruptFile,     // a file's bytes contradict its format
  kOutOfBudget,     // does not fit the memory or budget given
  kIo,              // the operating system refused or a read came short
  kCancelled,       // stopped on request
  kInternal,        // our own bug
};

struct ErrorRow {
  ErrorCode code;
  std::string_view name;      // stable, machine-readable
  int http_status;            // RFC 9110
  int exit_code;              // of a command-line tool
  std::string_view api_type;  // `error.type` of the OpenAI API
};

// One row per code, in enum order.
std::span<const ErrorRow> error_rows() noexcept;
const ErrorRow& error_row(ErrorCode code) noexcept;

// what() is one line that names the file, tensor, field or request part at fault, and what would be right.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& what) : std::runtime_error(what), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace mach
