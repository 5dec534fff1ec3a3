// Walking the characters of text that is known to be well-formed, and the few character classes that added tokens and
// normalisers test one character at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mach {

struct Character {
  char32_t code_point;
  uint32_t length;  // bytes
};

// The character that begins at `pos`. Unlike decode_utf8() it trusts its input, for loops over text that was checked.
inline Character character_at(std::string_view text, size_t pos) noexcept {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(text[pos + i])); };
  const uint32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  if (first < 0xe0) return {(first & 0x1f) << 6 | (byte(1) & 0x3f), 2};
  if (first < 0xf0) return {(first & 0xf) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
  return {(first & 7) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f), 4};
}

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
