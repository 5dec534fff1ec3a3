#include <algorithm>
#include <cmath>
#include <cstdio>

#include <fmt/format.h>

#include "base/utf8.h"
#include "text/jinja/failure.h"
#include "text/jinja/format.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/unicode.h"

namespace mach::jinja {
namespace {

constexpr size_t kMostCount = size_t{1} << 40;  // beyond every limit on texts, far from overflow
constexpr size_t kMostPrecision = 1000;         // a double has at most 767 significant decimal digits

// [[fill]align][sign][z][#][0][width][grouping][.precision][type]
struct Spec {
  Padding padding;
  bool align_given = false;
  char sign = '-';
  bool alternate = false;
  char grouping = '\0';
  std::optional<size_t> precision;
  char type = '\0';
};

bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

Spec parse_spec(std::string_view text) {
  Spec spec;
  size_t at = 0;
  size_t after_fill = 0;
  if (!text.empty()) next_code_point(text, after_fill);
  if (after_fill > 0 && after_fill < text.size() && is_align(text[after_fill])) {
    spec.padding.fill = text.substr(0, after_fill);
    spec.padding.align = text[after_fill];
    spec.align_given = true;
    at = after_fill + 1;
  } else if (!text.empty() && is_align(text[0])) {
    spec.padding.align = text[0];
    spec.align_given = true;
    at = 1;
  }
  const auto take = [&](std::string_view any) {
    if (at >= text.size() || any.find(text[at]) == std::string_view::npos) return '\0';
    return text[at++];
  };
  if (const char sign = take("+- ")) spec.sign = sign;
  take("z");
  spec.alternate = take("#") != '\0';
  if (take("0") != '\0' && !spec.align_given) {
    spec.padding.fill = "0";
    spec.padding.align = '=';
    spec.align_given = true;
  }
  spec.padding.width = read_count(text, at);
  spec.grouping = take(",_");
  if (take(".") != '\0') {
    const size_t start = at;
    spec.precision = read_count(text, at);
    if (at == start) fail("Format specifier missing precision");
  }
  if (at < text.size()) spec.type = text[at++];
  if (at != text.size()) fail(fmt::format("Invalid format specifier '{}'", text));
  return spec;
}

// Inserts a separator every `group` digits of the whole part.
std::string grouped(std::string_view digits, char separator, size_t group) {
  const size_t whole = std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
  std::string out;
  for (size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % group == 0) out += separator;
    out += digits[i];
  }
  return out += digits.substr(whole);
}

std::string_view sign_of(bool negative, char sign) {
  if (negative) return "-";
  return sign == '+' ? "+" : sign == ' ' ? " " : "";
}

void append_float(TextBuilder& out, double value, Spec spec) {
  std::string body;
  const double magnitude = std::fabs(value);
  switch (spec.type) {
    case '\0':
      if (spec.precision) {
        body = float_digits(magnitude, 'g', std::max<size_t>(*spec.precision, 1), spec.alternate);
        // Without a type at least one digit follows the point.
        if (std::isfinite(value) && body.find_first_of(".e") == std::string::npos) body += ".0";
      } else {
        body = float_repr(magnitude);
      }
      break;
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
    case 'n': {
      const char style = spec.type == 'n' ? 'g' : spec.type;
      body = float_digits(magnitude, style, spec.precision.value_or(6), spec.alternate);
      break;
    }
    case '%':
      body = float_digits(magnitude * 100, 'f', spec.precision.value_or(6), spec.alternate) + "%";
      break;
    default:
      fail(fmt::format("Unknown format code '{}' for object of type 'float'", spec.type));
  }
  if (spec.grouping != '\0') body = grouped(body, spec.grouping, 3);
  if (!spec.align_given) spec.padding.align = '>';
  append_padded(out, sign_of(std::signbit(value), spec.sign), body, spec.padding);
}

void append_integer(TextBuilder& out, const Value& value, Spec spec) {
  const int64_t number = value.as_int();
  std::string body;
  std::string sign(sign_of(number < 0, spec.sign));
  switch (spec.type) {
    case '\0':
    case 'd':
    case 'n':
      body = integer_digits(magnitude_of(number), 10, false);
      break;
    case 'x':
    case 'X':
    case 'o':
    case 'b': {
      const unsigned base = spec.type == 'o' ? 8 : spec.type == 'b' ? 2 : 16;
      body = integer_digits(magnitude_of(number), base, spec.type == 'X');
      if (spec.alternate) sign += std::string("0") + spec.type;
      break;
    }
    case 'c': {
      if (number < 0 || number > 0x10FFFF) fail("%c arg not in range(0x110000)");
      append_utf8(body, static_cast<char32_t>(number));
      append_padded(out, {}, body, spec.padding);
      return;
    }
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
    case '%':
      append_float(out, value.as_float(), spec);
      return;
    default:
      fail(fmt::format("Unknown format code '{}' for object of type 'int'", spec.type));
  }
  if (spec.precision) fail("Precision not allowed in integer format specifier");
  if (spec.grouping != '\0') {
    body = grouped(body, spec.grouping, spec.type == '\0' || spec.type == 'd' || spec.type == 'n' ? 3 : 4);
  }
  if (!spec.align_given) spec.padding.align = '>';
  append_padded(out, sign, body, spec.padding);
}

}  // namespace

size_t read_count(std::string_view text, size_t& at) {
  size_t count = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    count = std::min(kMostCount, count * 10 + static_cast<size_t>(text[at] - '0'));
  }
  return count;
}

std::string_view first_code_points(std::string_view text, size_t count) {
  return count >= text.size() ? text : text.substr(0, byte_offset(text, count));
}

uint64_t magnitude_of(int64_t value) noexcept {
  return value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
}

std::string integer_digits(uint64_t magnitude, unsigned base, bool upper) {
  constexpr std::string_view kDigits = "0123456789abcdef0123456789ABCDEF";
  std::string out;
  do {
    out.insert(out.begin(), kDigits[magnitude % base + (upper ? 16 : 0)]);
    magnitude /= base;
  } while (magnitude != 0);
  return out;
}

std::string float_digits(double magnitude, char style, size_t precision, bool alternate) {
  const bool upper = style >= 'A' && style <= 'Z';
  if (std::isnan(magnitude)) return upper ? "NAN" : "nan";
  if (std::isinf(magnitude)) return upper ? "INF" : "inf";
  if (precision > kMostPrecision) {
    fail(fmt::format("a precision of more than {} digits is not supported", kMostPrecision));
  }
  const std::string format = fmt::format("%{}.*{}", alternate ? "#" : "", style);
  const int digits = static_cast<int>(precision);
  const int length = std::snprintf(nullptr, 0, format.c_str(), digits, magnitude);
  std::string out(static_cast<size_t>(length), '\0');
  std::snprintf(out.data(), out.size() + 1, format.c_str(), digits, magnitude);
  return out;
}

void append_padded(TextBuilder& out, std::string_view sign, std::string_view body, const Padding& padding) {
  const size_t length = count_code_points(sign) + count_code_points(body);
  const size_t missing = padding.width > length ? padding.width - length : 0;
  const size_t before = padding.align == '<' ? 0 : padding.align == '^' ? missing / 2 : missing;
  if (padding.align == '=') out.append(sign);
  out.append_repeated(before, padding.fill);
  if (padding.align != '=') out.append(sign);
  out.append(body);
  out.append_repeated(missing - before, padding.fill);
}

void append_formatted(TextBuilder& out, const Value& value, std::string_view text) {
  if (text.empty()) return append_str(out, value);
  Spec spec = parse_spec(text);
  if (value.is_integral() && !(value.is(Kind::kBool) && spec.type == 's'))
    return append_integer(out, value, spec);
  if (value.is(Kind::kFloat)) return append_float(out, value.as_float(), spec);
  if (!value.is_string()) {
    fail(fmt::format("unsupported format string passed to {}.__format__", type_name(value)));
  }
  if (spec.type != '\0' && spec.type != 's') {
    fail(fmt::format("Unknown format code '{}' for object of type 'str'", spec.type));
  }
  if (spec.grouping != '\0') fail(fmt::format("Cannot specify '{}' with 's'.", spec.grouping));
  if (spec.padding.align == '=' && spec.padding.fill != "0") {
    fail("'=' alignment not allowed in string format specifier");
  }
  if (spec.padding.align == '=') spec.padding.align = '<';
  append_padded(out, {}, spec.precision ? first_code_points(value.text(), *spec.precision) : value.text(),
                spec.padding);
}

}  // namespace mach::jinja
