// UTF-8 at the edges: checking, streaming, repair. Well-formed means Unicode 15 table 3-7: no overlong forms,
// no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mach {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

// One step of a decoder. For an ill-formed sequence `valid` is false, code_point is U+FFFD and length counts
// its maximal subpart (Unicode 15, 3.9), at least 1. `truncated`: the bytes so far could begin a valid
// character.
struct Utf8Char {
  char32_t code_point = kReplacementCharacter;
  uint8_t length = 1;  // bytes
  bool valid = false;
  bool truncated = false;
};

// Decodes at the start of `text`, which is not empty.
Utf8Char decode_utf8(std::string_view text) noexcept;

bool is_valid_utf8(std::string_view text) noexcept;

// Position of the first byte that is not part of well-formed UTF-8; text.size() when all is well.
size_t find_invalid_utf8(std::string_view text) noexcept;

// Length of the longest prefix that does not end inside a character: what of a byte stream can be shown now.
// Bytes that can never become valid count as complete.
size_t complete_utf8_prefix(std::string_view text) noexcept;

// Each maximal ill-formed subpart becomes one U+FFFD, as in Python's errors="replace".
std::string replace_invalid_utf8(std::string_view text);

// code_point is a Unicode scalar value; anything else is appended as U+FFFD.
void append_utf8(std::string& out, char32_t code_point);

}  // namespace mach
