#include "text/jinja/text_search.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>

#include "text/jinja/cursor.h"
#include "text/jinja/failure.h"
#include "text/jinja/unicode.h"

namespace mach::jinja {
namespace {

void split_at_spaces(Runtime& rt, ListBuilder& parts, std::string_view text, uint64_t most, bool safe) {
  size_t at = 0;
  while (true) {
    text = strip(text, {}, true, false);
    if (text.empty()) return;
    rt.budget.step();
    if (most-- == 0) {
      parts.push(rt.string(std::string(text), safe));
      return;
    }
    for (at = 0; at < text.size();) {
      size_t next = at;
      if (is_space(next_code_point(text, next))) break;
      at = next;
    }
    parts.push(rt.string(std::string(text.substr(0, at)), safe));
    text.remove_prefix(at);
  }
}

// Parts come last first.
void split_at_spaces_from_right(Runtime& rt, ListBuilder& parts, std::string_view text, uint64_t most,
                                bool safe) {
  while (true) {
    text = strip(text, {}, false, true);
    if (text.empty()) return;
    rt.budget.step();
    if (most-- == 0) {
      parts.push(rt.string(std::string(text), safe));
      return;
    }
    size_t at = text.size();
    while (at > 0) {
      size_t previous = at;
      if (is_space(previous_code_point(text, previous))) break;
      at = previous;
    }
    parts.push(rt.string(std::string(text.substr(at)), safe));
    text = text.substr(0, at);
  }
}

// Underscores may stand between digits.
std::optional<std::string> without_underscores(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 == text.size() || text[i - 1] == '_') {
      return std::nullopt;
    }
  }
  return out;
}

// Decimal digits of every script become ASCII ones.
std::string ascii_digits(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t c = next_code_point(text, at);
    if (const int digit = c < 0x80 ? -1 : decimal_value(c); digit >= 0) {
      out += static_cast<char>('0' + digit);
    } else {
      out += text.substr(start, at - start);
    }
  }
  return out;
}

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  return std::ranges::equal(text, lower,
                            [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
}

}  // namespace

size_t find_text(std::string_view text, std::string_view needle, size_t from) noexcept {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  return found == nullptr ? std::string_view::npos
                          : static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

// Knuth, Morris and Pratt from the end: the naive search is quadratic for texts like "aaaa".
size_t find_last_text(std::string_view text, std::string_view needle) {
  if (needle.size() > text.size()) return std::string_view::npos;
  if (needle.empty()) return text.size();
  if (needle.size() == 1) return text.rfind(needle.front());
  const size_t size = needle.size();
  const auto from_end = [&](size_t i) { return needle[size - 1 - i]; };
  std::vector<uint32_t> border(size, 0);  // of the first i + 1 characters, counted from the end
  for (size_t i = 1, matched = 0; i < size; ++i) {
    while (matched > 0 && from_end(i) != from_end(matched)) matched = border[matched - 1];
    if (from_end(i) == from_end(matched)) ++matched;
    border[i] = static_cast<uint32_t>(matched);
  }
  size_t matched = 0;
  for (size_t at = text.size(); at > 0; --at) {
    const char c = text[at - 1];
    while (matched > 0 && c != from_end(matched)) matched = border[matched - 1];
    if (c == from_end(matched)) ++matched;
    if (matched == size) return at - 1;
  }
  return std::string_view::npos;
}

std::string replace_text(Budget& budget, std::string_view text, std::string_view old, std::string_view fresh,
                         int64_t count) {
  budget.step_bytes(text.size());
  TextBuilder out(budget);
  uint64_t left = count < 0 ? std::numeric_limits<uint64_t>::max() : static_cast<uint64_t>(count);
  size_t at = 0;
  if (old.empty()) {
    while (left-- > 0) {
      budget.step();
      out.append(fresh);
      if (at >= text.size()) break;
      const size_t start = at;
      next_code_point(text, at);
      out.append(text.substr(start, at - start));
    }
    out.append(text.substr(at));
    return out.take();
  }
  for (; left > 0; --left) {
    const size_t found = find_text(text, old, at);
    if (found == std::string_view::npos) break;
    budget.step();
    out.append(text.substr(at, found - at));
    out.append(fresh);
    at = found + old.size();
  }
  out.append(text.substr(at));
  return out.take();
}

std::vector<Value> split_text(Runtime& rt, std::string_view text, std::optional<std::string_view> separator,
                              int64_t most, bool from_right, bool safe) {
  rt.budget.step_bytes(text.size());
  ListBuilder parts(rt.budget);
  uint64_t left = most < 0 ? std::numeric_limits<uint64_t>::max() : static_cast<uint64_t>(most);
  if (!separator) {
    (from_right ? split_at_spaces_from_right : split_at_spaces)(rt, parts, text, left, safe);
  } else if (separator->empty()) {
    fail("empty separator");
  } else {
    for (; left > 0; --left) {
      const size_t found = from_right ? find_last_text(text, *separator) : find_text(text, *separator);
      if (found == std::string_view::npos) break;
      rt.budget.step();
      const size_t after = found + separator->size();
      parts.push(rt.string(std::string(from_right ? text.substr(after) : text.substr(0, found)), safe));
      text = from_right ? text.substr(0, found) : text.substr(after);
    }
    parts.push(rt.string(std::string(text), safe));
  }
  if (from_right) std::ranges::reverse(parts.items());
  return parts.take();
}

std::optional<Value> parse_integer(Budget& budget, std::string_view text, int64_t base) {
  if (base != 0 && (base < 2 || base > 36)) fail("int() base must be >= 2 and <= 36, or 0");
  if (text.size() > 4300) return std::nullopt;  // Python's own limit on digits
  const std::string ascii = ascii_digits(strip(text, {}, true, true));
  std::string_view digits = ascii;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  if (digits.size() > 2 && digits[0] == '0') {
    const char letter = static_cast<char>(digits[1] | 0x20);
    const int64_t prefix = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (prefix != 0 && (base == prefix || base == 0)) {
      digits.remove_prefix(digits[2] == '_' ? 3 : 2);
      base = prefix;
    }
  }
  if (base == 0) base = 10;
  const auto clean = without_underscores(digits);
  if (!clean || clean->empty() || clean->front() == '-') return std::nullopt;
  uint64_t magnitude = 0;
  const auto [end, error] =
      std::from_chars(clean->data(), clean->data() + clean->size(), magnitude, static_cast<int>(base));
  if (end != clean->data() + clean->size()) return std::nullopt;
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (error == std::errc() && magnitude <= kMost + (negative ? 1 : 0)) {
    return Value::integer(static_cast<int64_t>(negative ? 0 - magnitude : magnitude));
  }
  if (base != 10) fail("integers beyond 64 bits are supported in base 10 only");
  const size_t zeros = clean->find_first_not_of('0');
  return make_big_int(&budget, (negative ? "-" : "") + clean->substr(zeros));
}

std::optional<double> parse_float(std::string_view text) {
  const auto clean = without_underscores(ascii_digits(strip(text, {}, true, true)));
  if (!clean) return std::nullopt;
  std::string_view rest = *clean;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest.empty()) return std::nullopt;
  double value = 0;
  if (equals_ignoring_case(rest, "inf") || equals_ignoring_case(rest, "infinity")) {
    value = std::numeric_limits<double>::infinity();
  } else if (equals_ignoring_case(rest, "nan")) {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    if (rest.find_first_not_of("0123456789.eE+-") != std::string_view::npos || rest.front() == '+' ||
        rest.front() == '-') {
      return std::nullopt;
    }
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (end != rest.data() + rest.size()) return std::nullopt;
    if (error == std::errc::result_out_of_range) {
      // from_chars leaves the value alone: too small a number is 0, too large a one infinite.
      const size_t e = rest.find_first_of("eE");
      const bool tiny = e != std::string_view::npos ? rest.substr(e + 1).starts_with('-')
                                                    : rest.starts_with("0.") || rest.starts_with('.');
      value = tiny ? 0.0 : std::numeric_limits<double>::infinity();
    } else if (error != std::errc()) {
      return std::nullopt;
    }
  }
  return negative ? -value : value;
}

}  // namespace mach::jinja
