// What Python prints: str() and repr() of values, and the shortest float that reads back the same.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/text_builder.h"
#include "text/jinja/value.h"

namespace mach::jinja {

void append_str(TextBuilder& out, const Value& value);
void append_repr(TextBuilder& out, const Value& value, int nesting = 0);
void append_string_repr(TextBuilder& out, std::string_view text);

std::string str(Budget& budget, const Value& value);
// For error messages: cut when long, and never failing for its size.
std::string repr(const Value& value);
std::string float_repr(double value);  // "1.0", "1e+16", "nan", "inf"

// 'it''s' as JSON and Python escape it: the four hex digits of \uXXXX, pairs above the basic plane.
void append_unicode_escape(std::string& out, char32_t c);

}  // namespace mach::jinja
