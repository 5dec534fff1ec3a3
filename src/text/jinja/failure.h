// How the engine stops: a Failure without a place. Template::parse and Template::render catch it, add template name and
// line, and throw mach::Error; it never leaves the library.
#pragma once

#include <stdexcept>
#include <string>

#include "mach/error.h"

namespace mach::jinja {

class Failure : public std::runtime_error {
 public:
  Failure(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

[[noreturn]] inline void fail(ErrorCode code, const std::string& message) { throw Failure(code, message); }

// The template met a value that it cannot work with: the fault of the conversation as far as the template is concerned.
[[noreturn]] inline void fail(const std::string& message) {
  throw Failure(ErrorCode::kInvalidRequest, message);
}

}  // namespace mach::jinja
