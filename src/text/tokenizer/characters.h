// The few character classes that added tokens and normalisers test one character at a time.
#pragma once

#include <string_view>

namespace mach {

// Unicode White_Space.
bool is_white_space(char32_t code_point) noexcept;

// What \w means in UTS #18: alphabetic, mark, decimal digit, connector punctuation, join control.
bool is_word_character(char32_t code_point) noexcept;

// General category M.
bool is_mark(char32_t code_point) noexcept;

// Of valid UTF-8. An empty text starts and ends with nothing.
bool starts_with_word_character(std::string_view text) noexcept;
bool ends_with_word_character(std::string_view text) noexcept;
// Bytes of white space at either end.
size_t leading_white_space(std::string_view text) noexcept;
size_t trailing_white_space(std::string_view text) noexcept;

}  // namespace mach
