// Searching and cutting strings as Python's methods do; shared by the methods and the filters of the same names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/runtime.h"

namespace mach::jinja {

// Byte position of `needle` in `text` at or behind `from`; npos when there is none. Linear, whatever the strings.
size_t find_text(std::string_view text, std::string_view needle, size_t from = 0) noexcept;
size_t find_last_text(std::string_view text, std::string_view needle);

// At most `count` replacements; a negative count means all. An empty `old` matches between all characters.
std::string replace_text(Budget& budget, std::string_view text, std::string_view old, std::string_view fresh,
                         int64_t count);

// str.split and str.rsplit: at white space without a separator. A negative `most` means no limit.
std::vector<Value> split_text(Runtime& rt, std::string_view text, std::optional<std::string_view> separator,
                              int64_t most, bool from_right, bool safe);

// int(text, base) and float(text); empty where Python raises ValueError.
std::optional<Value> parse_integer(Budget& budget, std::string_view text, int64_t base);
std::optional<double> parse_float(std::string_view text);

}  // namespace mach::jinja
