// Python's three ways to format: the % operator, str.format, and the format specifications inside the latter.
// Source: the Python 3.11 library reference, "printf-style String Formatting" and "Format String Syntax".
#pragma once

#include <string_view>

#include "text/jinja/runtime.h"

namespace mach::jinja {

// template % arguments; `arguments` is a tuple, a dict for %(name)s, or the one value.
Value format_percent(Runtime& rt, const Value& string, const Value& arguments);
// string.format(...); field names may look up attributes and items, as the sandbox allows.
Value format_braces(Runtime& rt, const Value& string, const Arguments& arguments);
// format(value, spec), as in "{:>8.2f}".
void append_formatted(TextBuilder& out, const Value& value, std::string_view spec);

// One converted number or text, padded to a width.
struct Padding {
  size_t width = 0;  // code points
  std::string_view fill = " ";
  char align = '<';  // '<' '>' '^', or '=' for fill between sign and digits
};
void append_padded(TextBuilder& out, std::string_view sign, std::string_view body, const Padding& padding);

// The digits of a finite float in style 'e', 'f' or 'g' (and upper case), without sign; "nan" and "inf" for the others.
std::string float_digits(double magnitude, char style, size_t precision, bool alternate);
std::string integer_digits(uint64_t magnitude, unsigned base, bool upper);
uint64_t magnitude_of(int64_t value) noexcept;

// "prec" of %s and :s: the first `count` code points.
std::string_view first_code_points(std::string_view text, size_t count);
// A width, precision or argument number of a format string; capped, so that the text limit is what it runs into.
size_t read_count(std::string_view text, size_t& at);

}  // namespace mach::jinja
