// Text as Python sees it: strings are UTF-8 here, but templates index, slice, strip and change case by code point.
// All functions take valid UTF-8 (checked where templates and values enter; see base/utf8.h) and are thread-safe.
// Source of the rules: the Python 3.11 library reference, "Text Sequence Type"; facts from utf8proc and unicode_tables.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mach::jinja {

// Reads the code point at byte `at` and moves `at` behind it.
char32_t next_code_point(std::string_view text, size_t& at) noexcept;
// Moves `at` to the start of the code point before it and returns that code point; at > 0.
char32_t previous_code_point(std::string_view text, size_t& at) noexcept;
size_t count_code_points(std::string_view text) noexcept;
// Byte offset of the code point with this index; text.size() when there are not so many.
size_t byte_offset(std::string_view text, size_t index) noexcept;
std::u32string to_utf32(std::string_view text);
inline bool is_ascii(std::string_view text) noexcept { return count_code_points(text) == text.size(); }

// str.isX() of one code point.
bool is_space(char32_t c) noexcept;
bool is_alpha(char32_t c) noexcept;
bool is_decimal(char32_t c) noexcept;
bool is_digit(char32_t c) noexcept;
bool is_numeric(char32_t c) noexcept;
bool is_alnum(char32_t c) noexcept;
bool is_printable(char32_t c) noexcept;
bool is_upper(char32_t c) noexcept;
bool is_lower(char32_t c) noexcept;
bool is_title(char32_t c) noexcept;
inline bool is_cased(char32_t c) noexcept { return is_upper(c) || is_lower(c) || is_title(c); }
bool is_identifier_start(char32_t c) noexcept;
bool is_identifier_part(char32_t c) noexcept;
// Value of a decimal digit of any script, -1 for anything else.
int decimal_value(char32_t c) noexcept;

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string to_title(std::string_view text);        // str.title(): every word
std::string to_capitalized(std::string_view text);  // first character title case, the rest lower
std::string swap_case(std::string_view text);
std::string fold_case(std::string_view text);

// Without the characters of `chars` (white space when empty optional) at the chosen ends.
std::string_view strip(std::string_view text, std::optional<std::string_view> chars, bool left, bool right);
// One line of str.splitlines(), without (or with) its end; moves `at` behind it. Empty at the end of the text.
std::optional<std::string_view> next_line(std::string_view text, size_t& at, bool keep_ends) noexcept;

}  // namespace mach::jinja
