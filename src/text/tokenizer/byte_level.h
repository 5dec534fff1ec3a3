// The "byte-level" alphabet of GPT-2 style vocabularies: each of the 256 bytes is written as one printable character.
// Bytes 33-126, 161-172 and 174-255 stand for the code point of the same number; the other 68, in increasing order,
// for U+0100 to U+0143. So a vocabulary of bytes fits into JSON strings: "Ġthe" is 0x20 't' 'h' 'e'.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mach {

// By byte: its character, at most U+0143.
const std::array<char16_t, 256>& byte_level_characters() noexcept;

// The byte that a character stands for, if it belongs to the alphabet.
std::optional<uint8_t> byte_of_character(char32_t code_point) noexcept;

// The bytes that a token (valid UTF-8) stands for: if every character belongs to the alphabet, one byte each; otherwise (an added token
// such as "<｜User｜>") its own UTF-8. This is what the ByteLevel decoder does to each token.
void append_byte_level_decoded(std::string_view token, std::string& out);

// The reverse, for any bytes.
void append_byte_level_encoded(std::string_view bytes, std::string& out);

}  // namespace mach
