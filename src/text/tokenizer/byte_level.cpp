#include "text/tokenizer/byte_level.h"

#include "base/utf8.h"
#include "text/tokenizer/characters.h"

namespace mach {
namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
}

constexpr char16_t kFirstMoved = 0x100;
constexpr size_t kCharacterLimit = 0x144;  // one above the last character of the alphabet

constexpr std::array<char16_t, 256> make_characters() {
  std::array<char16_t, 256> table{};
  char16_t next = kFirstMoved;
  for (unsigned byte = 0; byte < 256; ++byte) {
    table[byte] = stands_for_itself(byte) ? static_cast<char16_t>(byte) : next++;
  }
  return table;
}

constexpr auto kCharacters = make_characters();

constexpr std::array<int16_t, kCharacterLimit> make_bytes() {
  std::array<int16_t, kCharacterLimit> table{};
  for (int16_t& entry : table) entry = -1;
  for (unsigned byte = 0; byte < 256; ++byte) table[kCharacters[byte]] = static_cast<int16_t>(byte);
  return table;
}

constexpr auto kBytes = make_bytes();
static_assert(kCharacters[' '] == u'Ġ' && kCharacters['\n'] == u'Ċ' &&
              kCharacters[173] == kCharacterLimit - 1);

}  // namespace

const std::array<char16_t, 256>& byte_level_characters() noexcept { return kCharacters; }

std::optional<uint8_t> byte_of_character(char32_t code_point) noexcept {
  if (code_point >= kCharacterLimit || kBytes[code_point] < 0) return std::nullopt;
  return static_cast<uint8_t>(kBytes[code_point]);
}

void append_byte_level_decoded(std::string_view token, std::string& out) {
  const size_t start = out.size();
  for (size_t pos = 0; pos < token.size();) {
    const Character c = character_at(token, pos);
    const std::optional<uint8_t> byte = byte_of_character(c.code_point);
    if (!byte) {
      out.resize(start);
      out.append(token);
      return;
    }
    out.push_back(static_cast<char>(*byte));
    pos += c.length;
  }
}

void append_byte_level_encoded(std::string_view bytes, std::string& out) {
  for (const char byte : bytes) append_utf8(out, kCharacters[static_cast<uint8_t>(byte)]);
}

}  // namespace mach
