#include "text/jinja/args.h"

#include <algorithm>

#include <fmt/format.h>

#include "text/jinja/failure.h"
#include "text/jinja/operators.h"

namespace mach::jinja {

Parameters::Parameters(std::string_view function, const Arguments& arguments,
                       std::initializer_list<std::string_view> names, size_t required)
    : function_(function) {
  if (arguments.positional.size() > names.size()) {
    fail(fmt::format("{}() takes at most {} argument(s), {} given", function, names.size(),
                     arguments.positional.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) found_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto* const row = std::find(names.begin(), names.end(), name);
    if (row == names.end()) fail(fmt::format("{}() got an unexpected keyword argument '{}'", function, name));
    const auto i = static_cast<size_t>(row - names.begin());
    if (found_[i] != nullptr) fail(fmt::format("{}() got multiple values for argument '{}'", function, name));
    found_[i] = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (found_[i] == nullptr)
      fail(fmt::format("{}() missing required argument '{}'", function, names.begin()[i]));
  }
}

int64_t Parameters::integer(size_t i) const {
  const Value& value = *found_[i];
  if (value.is_undefined()) fail_undefined(value);
  if (!value.is_integral()) {
    fail(fmt::format("{}(): '{}' object cannot be interpreted as an integer", function_, type_name(value)));
  }
  return value.as_int();
}

int64_t Parameters::integer(size_t i, int64_t otherwise) const {
  return has(i) && !found_[i]->is_none() ? integer(i) : otherwise;
}

bool Parameters::boolean(size_t i, bool otherwise) const { return has(i) ? truthy(*found_[i]) : otherwise; }

std::string_view Parameters::text(size_t i) const {
  const Value& value = *found_[i];
  if (!value.is_string()) fail(fmt::format("{}() argument must be str, not {}", function_, type_name(value)));
  return value.text();
}

std::string_view Parameters::text(size_t i, std::string_view otherwise) const {
  return has(i) && !found_[i]->is_none() ? text(i) : otherwise;
}

}  // namespace mach::jinja
