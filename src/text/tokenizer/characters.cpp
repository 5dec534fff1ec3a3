#include "text/tokenizer/characters.h"

#include <algorithm>
#include <array>

#include <utf8proc.h>

namespace mach {
namespace {

utf8proc_category_t category(char32_t code_point) noexcept {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code_point));
}

struct Range {
  char32_t first, last;
};

// Alphabetic by Other_Alphabetic although their category is So: circled and squared letters.
constexpr std::array kSymbolLetters = {Range{0x24b6, 0x24e9}, Range{0x1f130, 0x1f149},
                                       Range{0x1f150, 0x1f169}, Range{0x1f170, 0x1f189}};

// Start of the character that ends at text.size(); text is not empty.
size_t last_character(std::string_view text) noexcept {
  size_t pos = text.size() - 1;
  while (pos > 0 && (static_cast<uint8_t>(text[pos]) & 0xc0U) == 0x80) --pos;
  return pos;
}

}  // namespace

bool is_white_space(char32_t c) noexcept {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_mark(char32_t c) noexcept {
  if (c < 0x300) return false;
  const utf8proc_category_t cat = category(c);
  return cat == UTF8PROC_CATEGORY_MN || cat == UTF8PROC_CATEGORY_MC || cat == UTF8PROC_CATEGORY_ME;
}

bool is_word_character(char32_t c) noexcept {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  if (c == 0x200c || c == 0x200d) return true;  // Join_Control
  switch (category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_PC:
      return true;
    case UTF8PROC_CATEGORY_SO:
      return std::any_of(kSymbolLetters.begin(), kSymbolLetters.end(),
                         [c](Range r) { return c >= r.first && c <= r.last; });
    default:
      return false;
  }
}

bool starts_with_word_character(std::string_view text) noexcept {
  return !text.empty() && is_word_character(character_at(text, 0).code_point);
}

bool ends_with_word_character(std::string_view text) noexcept {
  return !text.empty() && is_word_character(character_at(text, last_character(text)).code_point);
}

size_t leading_white_space(std::string_view text) noexcept {
  size_t pos = 0;
  while (pos < text.size()) {
    const Character c = character_at(text, pos);
    if (!is_white_space(c.code_point)) break;
    pos += c.length;
  }
  return pos;
}

size_t trailing_white_space(std::string_view text) noexcept {
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t pos = last_character(rest);
    if (!is_white_space(character_at(rest, pos).code_point)) break;
    rest = rest.substr(0, pos);
  }
  return text.size() - rest.size();
}

}  // namespace mach
