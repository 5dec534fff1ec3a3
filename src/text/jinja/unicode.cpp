#include "text/jinja/unicode.h"

#include <algorithm>
#include <span>

#include <utf8proc.h>

#include "base/utf8.h"
#include "text/jinja/unicode_tables.h"

namespace mach::jinja {
namespace {

utf8proc_category_t category(char32_t c) noexcept {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool in_ranges(std::span<const CodePointRange> ranges, char32_t c) noexcept {
  const auto it = std::ranges::lower_bound(ranges, c, {}, &CodePointRange::last);
  return it != ranges.end() && it->first <= c;
}

const CodePointMapping* find_mapping(std::span<const CodePointMapping> table, char32_t c) noexcept {
  const auto it = std::ranges::lower_bound(table, c, {}, &CodePointMapping::from);
  return it != table.end() && it->from == c ? &*it : nullptr;
}

void append_upper(std::string& out, char32_t c) {
  if (const auto* row = find_mapping(kLongUpper, c)) {
    out += row->to;
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
  }
}

void append_title(std::string& out, char32_t c) {
  if (const auto* row = find_mapping(kLongTitle, c)) {
    out += row->to;
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
  }
}

// Letters joined by these stay one word for the rule of the final sigma (Unicode: Case_Ignorable, the common part).
bool is_case_ignorable(char32_t c) noexcept {
  if (c == '\'' || c == '.' || c == ':' || c == 0xB7 || c == 0x2019) return true;
  const auto cat = category(c);
  return cat == UTF8PROC_CATEGORY_MN || cat == UTF8PROC_CATEGORY_ME || cat == UTF8PROC_CATEGORY_CF ||
         cat == UTF8PROC_CATEGORY_LM || cat == UTF8PROC_CATEGORY_SK;
}

// A capital sigma becomes the final form after a cased letter and before none.
bool is_final_sigma(std::string_view text, size_t at, size_t after) noexcept {
  bool cased_before = false;
  while (at > 0) {
    const char32_t c = previous_code_point(text, at);
    if (is_case_ignorable(c)) continue;
    cased_before = is_cased(c);
    break;
  }
  if (!cased_before) return false;
  while (after < text.size()) {
    const char32_t c = next_code_point(text, after);
    if (is_case_ignorable(c)) continue;
    return !is_cased(c);
  }
  return true;
}

// `c` stands in `text` at [at, after).
void append_lower(std::string& out, char32_t c, std::string_view text, size_t at, size_t after) {
  if (c == 0x130) {
    out += "i\xcc\x87";
  } else if (c == 0x3A3) {
    append_utf8(out, is_final_sigma(text, at, after) ? 0x3C2 : 0x3C3);
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

constexpr bool ascii_upper(unsigned char c) { return c >= 'A' && c <= 'Z'; }
constexpr bool ascii_lower(unsigned char c) { return c >= 'a' && c <= 'z'; }

}  // namespace

char32_t next_code_point(std::string_view text, size_t& at) noexcept {
  const auto byte = [&](size_t i) -> char32_t {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const char32_t lead = byte(at);
  if (lead < 0x80) {
    ++at;
    return lead;
  }
  const int extra = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  char32_t c = lead & (0x3FU >> extra);
  for (int i = 1; i <= extra; ++i) c = (c << 6) | (byte(at + static_cast<size_t>(i)) & 0x3F);
  at = std::min(text.size(), at + static_cast<size_t>(extra) + 1);
  return c;
}

char32_t previous_code_point(std::string_view text, size_t& at) noexcept {
  do {
    --at;
  } while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  size_t copy = at;
  return next_code_point(text, copy);
}

size_t count_code_points(std::string_view text) noexcept {
  size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

size_t byte_offset(std::string_view text, size_t index) noexcept {
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) continue;
    if (index == 0) return at;
    --index;
  }
  return text.size();
}

std::u32string to_utf32(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) out += next_code_point(text, at);
  return out;
}

bool is_space(char32_t c) noexcept {
  if (c < 0x80) return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_alpha(char32_t c) noexcept {
  const auto cat = category(c);
  return cat >= UTF8PROC_CATEGORY_LU && cat <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(char32_t c) noexcept { return category(c) == UTF8PROC_CATEGORY_ND; }
bool is_digit(char32_t c) noexcept { return is_decimal(c) || in_ranges(kDigitRanges, c); }
bool is_numeric(char32_t c) noexcept { return is_digit(c) || in_ranges(kNumericRanges, c); }
bool is_alnum(char32_t c) noexcept { return is_alpha(c) || is_numeric(c); }

bool is_printable(char32_t c) noexcept {
  if (c == ' ') return true;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

bool is_upper(char32_t c) noexcept {
  if (c < 0x80) return ascii_upper(static_cast<unsigned char>(c));
  return utf8proc_isupper(static_cast<utf8proc_int32_t>(c)) != 0;
}

bool is_lower(char32_t c) noexcept {
  if (c < 0x80) return ascii_lower(static_cast<unsigned char>(c));
  return utf8proc_islower(static_cast<utf8proc_int32_t>(c)) != 0;
}

bool is_title(char32_t c) noexcept { return c >= 0x80 && category(c) == UTF8PROC_CATEGORY_LT; }

bool is_identifier_start(char32_t c) noexcept {
  return c == '_' || is_alpha(c) || category(c) == UTF8PROC_CATEGORY_NL;
}

bool is_identifier_part(char32_t c) noexcept {
  if (is_identifier_start(c)) return true;
  const auto cat = category(c);
  return cat == UTF8PROC_CATEGORY_MN || cat == UTF8PROC_CATEGORY_MC || cat == UTF8PROC_CATEGORY_ND ||
         cat == UTF8PROC_CATEGORY_PC;
}

int decimal_value(char32_t c) noexcept {
  if (c < 0x80) return c >= '0' && c <= '9' ? static_cast<int>(c - '0') : -1;
  if (!is_decimal(c)) return -1;
  // Decimal digits come in runs of ten that start with the zero; only the mathematical digits join runs, at 0x1D7CE.
  if (c >= 0x1D7CE && c <= 0x1D7FF) return static_cast<int>((c - 0x1D7CE) % 10);
  char32_t zero = c;
  while (c - zero < 9 && is_decimal(zero - 1)) --zero;
  return static_cast<int>(c - zero);
}

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 0x80) {
      out += static_cast<char>(ascii_lower(byte) ? byte - 32 : byte);
      ++at;
    } else {
      append_upper(out, next_code_point(text, at));
    }
  }
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 0x80) {
      out += static_cast<char>(ascii_upper(byte) ? byte + 32 : byte);
      ++at;
    } else {
      const size_t start = at;
      const char32_t c = next_code_point(text, at);
      append_lower(out, c, text, start, at);
    }
  }
  return out;
}

std::string to_title(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool in_word = false;
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t c = next_code_point(text, at);
    if (in_word) {
      append_lower(out, c, text, start, at);
    } else {
      append_title(out, c);
    }
    in_word = is_cased(c);
  }
  return out;
}

std::string to_capitalized(std::string_view text) {
  if (text.empty()) return {};
  std::string out;
  out.reserve(text.size());
  size_t at = 0;
  append_title(out, next_code_point(text, at));
  while (at < text.size()) {
    const size_t start = at;
    const char32_t c = next_code_point(text, at);
    append_lower(out, c, text, start, at);
  }
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t c = next_code_point(text, at);
    if (is_upper(c)) {
      append_lower(out, c, text, start, at);
    } else if (is_lower(c)) {
      append_upper(out, c);
    } else {
      append_utf8(out, c);
    }
  }
  return out;
}

std::string fold_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (const auto* row = find_mapping(kCaseFold, c)) {
      out += row->to;
    } else {
      append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    }
  }
  return out;
}

std::string_view strip(std::string_view text, std::optional<std::string_view> chars, bool left, bool right) {
  const std::u32string set = chars ? to_utf32(*chars) : std::u32string();
  const auto drop = [&](char32_t c) { return chars ? set.find(c) != std::u32string::npos : is_space(c); };
  size_t begin = 0;
  size_t end = text.size();
  while (left && begin < end) {
    size_t at = begin;
    if (!drop(next_code_point(text, at))) break;
    begin = at;
  }
  while (right && begin < end) {
    size_t at = end;
    if (!drop(previous_code_point(text, at))) break;
    end = at;
  }
  return text.substr(begin, end - begin);
}

std::optional<std::string_view> next_line(std::string_view text, size_t& at, bool keep_ends) noexcept {
  if (at >= text.size()) return std::nullopt;
  const size_t start = at;
  while (at < text.size()) {
    const size_t end = at;
    const char32_t c = next_code_point(text, at);
    const bool line_end =
        (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!line_end) continue;
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    return text.substr(start, (keep_ends ? at : end) - start);
  }
  return text.substr(start);
}

}  // namespace mach::jinja
