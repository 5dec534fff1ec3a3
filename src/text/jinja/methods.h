// The built-in methods of strings, lists, tuples, dicts, ranges and numbers: one row each. Null when there is none of the name.
// Source: the Python 3.11 library reference, "Built-in Types"; the refused ones are those of Jinja's immutable sandbox.
#pragma once

#include <string_view>

#include "text/jinja/lookup.h"

namespace mach::jinja {

const Method* find_string_method(std::string_view name) noexcept;
const Method* find_list_method(std::string_view name) noexcept;
const Method* find_tuple_method(std::string_view name) noexcept;
const Method* find_dict_method(std::string_view name) noexcept;
const Method* find_range_method(std::string_view name) noexcept;
const Method* find_number_method(std::string_view name, bool is_float) noexcept;

}  // namespace mach::jinja
