#include "base/utf8.h"

#include <algorithm>
#include <cstring>

namespace mach {
namespace {

struct Lead {
  uint8_t length = 0;  // of the whole character; 0 for a byte that cannot begin one
  uint8_t second_low = 0x80;
  uint8_t second_high = 0xbf;
};

// Unicode 15 table 3-7: what a first byte allows for the second; later bytes are always 80..BF.
constexpr Lead lead_of(uint8_t byte) noexcept {
  if (byte < 0x80) return {1};
  if (byte < 0xc2) return {};
  if (byte < 0xe0) return {2};
  if (byte == 0xe0) return {3, 0xa0, 0xbf};
  if (byte == 0xed) return {3, 0x80, 0x9f};
  if (byte < 0xf0) return {3};
  if (byte == 0xf0) return {4, 0x90, 0xbf};
  if (byte < 0xf4) return {4};
  if (byte == 0xf4) return {4, 0x80, 0x8f};
  return {};
}

// Length of the ASCII run at `pos`, eight bytes at a time.
size_t ascii_run(std::string_view text, size_t pos) noexcept {
  const size_t start = pos;
  while (text.size() - pos >= sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + pos, sizeof(word));
    if ((word & 0x8080808080808080U) != 0) break;
    pos += sizeof(word);
  }
  while (pos < text.size() && static_cast<uint8_t>(text[pos]) < 0x80) ++pos;
  return pos - start;
}

}  // namespace

Utf8Char decode_utf8(std::string_view text) noexcept {
  const auto first = static_cast<uint8_t>(text[0]);
  const Lead lead = lead_of(first);
  if (lead.length == 0) return {};
  if (lead.length == 1) return {first, 1, true, false};
  char32_t code_point = first & (0x7fU >> lead.length);
  for (uint8_t i = 1; i < lead.length; ++i) {
    if (i == text.size()) return {kReplacementCharacter, i, false, true};
    const auto byte = static_cast<uint8_t>(text[i]);
    const uint8_t low = i == 1 ? lead.second_low : 0x80;
    const uint8_t high = i == 1 ? lead.second_high : 0xbf;
    if (byte < low || byte > high) return {kReplacementCharacter, i, false, false};
    code_point = (code_point << 6) | (byte & 0x3fU);
  }
  return {code_point, lead.length, true, false};
}

size_t find_invalid_utf8(std::string_view text) noexcept {
  size_t pos = 0;
  for (;;) {
    pos += ascii_run(text, pos);
    if (pos == text.size()) return pos;
    const Utf8Char next = decode_utf8(text.substr(pos));
    if (!next.valid) return pos;
    pos += next.length;
  }
}

bool is_valid_utf8(std::string_view text) noexcept { return find_invalid_utf8(text) == text.size(); }

size_t complete_utf8_prefix(std::string_view text) noexcept {
  // Only the last three bytes can begin a character that is not whole.
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const size_t start = text.size() - back;
    const auto byte = static_cast<uint8_t>(text[start]);
    if ((byte & 0xc0U) == 0x80) continue;  // inside a character: look further left
    const Utf8Char last = decode_utf8(text.substr(start));
    return last.truncated && last.length == back ? start : text.size();
  }
  return text.size();
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t good = find_invalid_utf8(text);
    out += text.substr(0, good);
    text.remove_prefix(good);
    if (text.empty()) break;
    append_utf8(out, kReplacementCharacter);
    text.remove_prefix(decode_utf8(text).length);
  }
  return out;
}

void append_utf8(std::string& out, char32_t code_point) {
  if (code_point > 0x10ffff || (code_point >= 0xd800 && code_point <= 0xdfff))
    code_point = kReplacementCharacter;
  const auto tail = [&](unsigned shift) {
    out += static_cast<char>(0x80U | ((code_point >> shift) & 0x3fU));
  };
  if (code_point < 0x80) {
    out += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    out += static_cast<char>(0xc0U | (code_point >> 6));
    tail(0);
  } else if (code_point < 0x10000) {
    out += static_cast<char>(0xe0U | (code_point >> 12));
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xf0U | (code_point >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace mach
