// The values of JSON Schema's `format` that mach enforces, one row each.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace mach::grammar {

struct StringFormat {
  std::string_view name;
  std::string_view
      pattern;  // of strings, see regex_pattern.h; empty: every string (or no string at all) will do
  int64_t low = 0, high = 0;  // of integers, where they differ
};

std::span<const StringFormat> string_formats();
const StringFormat* find_string_format(std::string_view name);  // null if there is none

}  // namespace mach::grammar
