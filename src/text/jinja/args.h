// Matches the arguments of a call with the parameters of the function, as Python does: by position, then by name.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "text/jinja/runtime.h"

namespace mach::jinja {

class Parameters {
 public:
  // The first `required` must be there. Throws Failure for missing, surplus, unknown or doubled arguments, naming
  // `function`.
  Parameters(std::string_view function, const Arguments& arguments,
             std::initializer_list<std::string_view> names, size_t required = 0);

  bool has(size_t i) const noexcept { return found_[i] != nullptr; }
  const Value& operator[](size_t i) const noexcept { return *found_[i]; }  // has(i)
  const Value& get(size_t i, const Value& otherwise) const noexcept {
    return has(i) ? *found_[i] : otherwise;
  }
  // Throw Failure when the argument is of another type; None counts as left out where `otherwise` is given.
  int64_t integer(size_t i) const;
  int64_t integer(size_t i, int64_t otherwise) const;
  bool boolean(size_t i, bool otherwise) const;  // by truth
  std::string_view text(size_t i) const;
  std::string_view text(size_t i, std::string_view otherwise) const;

 private:
  static constexpr size_t kMost = 8;
  std::string_view function_;
  const Value* found_[kMost] = {};
};

}  // namespace mach::jinja
