// The filters of Jinja 3.1 as a table, one row each, with `tojson` as Hugging Face redefines it; and the tests of
// `value is NAME`. What makes no sense for prompts (random, urlize) is not there, and using it is an error.
// Source: the Jinja template designer documentation, "List of Builtin Filters" and "List of Builtin Tests".
#pragma once

#include <span>
#include <string_view>

#include "text/jinja/runtime.h"

namespace mach::jinja {

struct Filter {
  std::string_view name;
  Value (*apply)(Runtime& rt, const Value& subject, const Arguments& arguments);
};

struct Predicate {
  std::string_view name;
  bool (*holds)(Runtime& rt, const Value& subject, const Arguments& arguments);
};

// Null when there is none.
const Filter* find_filter(std::string_view name) noexcept;
const Predicate* find_predicate(std::string_view name) noexcept;

// Parts of the filter table, by subject.
std::span<const Filter> text_filters() noexcept;
std::span<const Filter> layout_filters() noexcept;
std::span<const Filter> number_filters() noexcept;
std::span<const Filter> sequence_filters() noexcept;
std::span<const Filter> selection_filters() noexcept;
std::span<const Filter> sorting_filters() noexcept;

// Throws Failure with Jinja's words for a name that is in no table.
[[noreturn]] void fail_no_filter(std::string_view name);
[[noreturn]] void fail_no_predicate(std::string_view name);

}  // namespace mach::jinja
