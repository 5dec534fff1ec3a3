#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "base/utf8.h"
#include "text/jinja/failure.h"
#include "text/jinja/format.h"
#include "text/jinja/markup.h"
#include "text/jinja/object.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/unicode.h"

namespace mach::jinja {
namespace {

// Hands out the values on the right of the %.
class Operands {
 public:
  explicit Operands(const Value& right) : right_(right), single_(!right.is(Kind::kTuple)) {}

  const Value& next() {
    if (!single_) {
      if (at_ < right_.items().size()) return right_.items()[at_++];
    } else if (at_++ == 0) {
      return right_;
    }
    fail("not enough arguments for format string");
  }
  const Value& named(std::string_view name) {
    if (!right_.is_dict()) fail("format requires a mapping");
    by_name_ = true;
    if (const Value* value = right_.dict().find(name)) return *value;
    fail(fmt::format("format: no key '{}'", name));
  }
  void check_used() const {
    // Whatever could be a mapping may go unused, and to Python that is all that has items.
    const bool mapping = right_.is_dict() || right_.is(Kind::kList) || right_.is_undefined() ||
                         (right_.is(Kind::kObject) && right_.object().indexable());
    const bool unused = single_ ? at_ == 0 && !by_name_ && !mapping : at_ < right_.items().size();
    if (unused) fail("not all arguments converted during string formatting");
  }

 private:
  const Value& right_;
  bool single_;
  bool by_name_ = false;
  size_t at_ = 0;
};

struct Directive {
  bool left = false, plus = false, space = false, zero = false, alternate = false;
  size_t width = 0;
  std::optional<size_t> precision;

  Padding padding(bool number) const {
    Padding p{width, " ", left ? '<' : '>'};
    if (number && zero && !left) {
      p.fill = "0";
      p.align = '=';
    }
    return p;
  }
  std::string sign(bool negative) const { return negative ? "-" : plus ? "+" : space ? " " : ""; }
};

int64_t to_integer(const Value& value, char letter) {
  if (value.is_integral()) return value.as_int();
  if (value.is(Kind::kFloat) && (letter == 'd' || letter == 'i' || letter == 'u')) {
    const double whole = std::trunc(value.as_float());
    if (whole >= -0x1p63 && whole < 0x1p63) return static_cast<int64_t>(whole);
    fail("cannot convert this float to a 64-bit integer");
  }
  if (value.is_undefined()) fail_undefined(value);
  fail(fmt::format("%{} format: a real number is required, not {}", letter, type_name(value)));
}

void append_integer(TextBuilder& out, const Directive& d, char letter, int64_t number) {
  std::string body = integer_digits(magnitude_of(number),
                                    letter == 'o'                    ? 8
                                    : letter == 'x' || letter == 'X' ? 16
                                                                     : 10,
                                    letter == 'X');
  if (d.precision && *d.precision > body.size()) {
    out.budget().check_text(*d.precision);
    body.insert(0, *d.precision - body.size(), '0');
  }
  std::string sign = d.sign(number < 0);
  if (d.alternate && (letter == 'o' || letter == 'x' || letter == 'X')) sign += std::string("0") + letter;
  append_padded(out, sign, body, d.padding(true));
}

void append_float(TextBuilder& out, const Directive& d, char letter, const Value& value) {
  if (value.is_undefined()) fail_undefined(value);
  if (!value.is_number()) fail(fmt::format("must be real number, not {}", type_name(value)));
  const double number = value.as_float();
  const std::string body = float_digits(std::fabs(number), letter, d.precision.value_or(6), d.alternate);
  append_padded(out, d.sign(std::signbit(number)), body, d.padding(std::isfinite(number)));
}

void append_text(TextBuilder& out, const Directive& d, char letter, const Value& value, bool safe) {
  TextBuilder body(out.budget());
  if (letter == 's') {
    safe ? append_escaped_value(body, value) : append_str(body, value);
  } else {
    append_repr(body, value);
  }
  const std::string_view text = d.precision ? first_code_points(body.view(), *d.precision) : body.view();
  append_padded(out, {}, text, d.padding(false));
}

void append_character(TextBuilder& out, const Directive& d, const Value& value) {
  std::string text;
  if (value.is_string() && value.string().length() == 1) {
    text = value.text();
  } else if (value.is_integral() && value.as_int() >= 0 && value.as_int() <= 0x10FFFF) {
    append_utf8(text, static_cast<char32_t>(value.as_int()));
  } else {
    fail("%c requires int or char");
  }
  append_padded(out, {}, text, d.padding(false));
}

// Reads flags, width and precision from `at` on.
Directive read_directive(std::string_view format, size_t& at, Operands& operands) {
  Directive d;
  for (; at < format.size(); ++at) {
    bool* flag = nullptr;
    switch (format[at]) {
      case '-':
        flag = &d.left;
        break;
      case '+':
        flag = &d.plus;
        break;
      case ' ':
        flag = &d.space;
        break;
      case '0':
        flag = &d.zero;
        break;
      case '#':
        flag = &d.alternate;
        break;
      default:
        break;
    }
    if (flag == nullptr) break;
    *flag = true;
  }
  const auto count = [&]() -> int64_t {
    if (at >= format.size() || format[at] != '*') return static_cast<int64_t>(read_count(format, at));
    ++at;
    const Value& value = operands.next();
    if (!value.is_integral()) fail("* wants int");
    return value.as_int();
  };
  const int64_t width = count();
  d.left = d.left || width < 0;
  d.width = static_cast<size_t>(magnitude_of(width));
  if (at < format.size() && format[at] == '.') {
    ++at;
    d.precision = static_cast<size_t>(std::max<int64_t>(0, count()));
  }
  while (at < format.size() && (format[at] == 'h' || format[at] == 'l' || format[at] == 'L')) ++at;
  return d;
}

// "(name)" at `at`, with balanced parentheses inside.
std::string_view read_name(std::string_view format, size_t& at) {
  const size_t start = at + 1;
  int open = 0;
  for (; at < format.size(); ++at) {
    if (format[at] == '(') ++open;
    if (format[at] == ')' && --open == 0) return format.substr(start, at++ - start);
  }
  fail("incomplete format key");
}

}  // namespace

Value format_percent(Runtime& rt, const Value& string, const Value& arguments) {
  const std::string_view format = string.text();
  const bool safe = string.string().safe();
  Operands operands(arguments);
  TextBuilder out(rt.budget);
  for (size_t at = 0; at < format.size();) {
    const size_t percent = format.find('%', at);
    out.append(format.substr(at, percent - at));
    if (percent == std::string_view::npos) break;
    rt.budget.step();
    at = percent + 1;
    const Value* named =
        at < format.size() && format[at] == '(' ? &operands.named(read_name(format, at)) : nullptr;
    const Directive d = read_directive(format, at, operands);
    if (at >= format.size()) fail("incomplete format");
    const char letter = format[at++];
    if (letter == '%') {
      out.append("%");
      continue;
    }
    const Value& value = named != nullptr ? *named : operands.next();
    switch (letter) {
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        if (value.is(Kind::kBigInt)) {
          append_padded(out, {}, value.text(), d.padding(true));
        } else {
          append_integer(out, d, letter, to_integer(value, letter));
        }
        break;
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        append_float(out, d, letter, value);
        break;
      case 's':
      case 'r':
      case 'a':
        append_text(out, d, letter, value, safe);
        break;
      case 'c':
        append_character(out, d, value);
        break;
      default:
        fail(fmt::format("unsupported format character '{}' in a % format", letter));
    }
  }
  operands.check_used();
  return rt.string(out.take(), safe);
}

}  // namespace mach::jinja
