// Small pieces of JSON text: escaping, quoting, numbers. Arguments of tool calls are written as text and never pass
// through a document tree, so that numbers keep their digits and objects their order.
// Pure functions, callable from any thread. Input is valid UTF-8.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mach {

// The value of a hexadecimal digit, -1 if it is none.
int hex_digit(char c);

// Appends `text` as it stands between the quotes of a JSON string. Escapes what RFC 8259 section 7 requires and
// nothing else, so that pieces of one text may be escaped one after the other.
void append_json_escaped(std::string& out, std::string_view text);
std::string json_quoted(std::string_view text);

// The text of a JSON string (with its quotes); empty if `json` is not one.
std::optional<std::string> json_unquoted(std::string_view json);

// `text` as a JSON number: integers keep their digits; a number written with a fraction or an exponent whose value is
// whole becomes an integer (3.0 -> 3). Leading zeros, a plus sign, ".5" and "5." are repaired. Empty if it is not a
// finite number. `whole` tells whether the result is an integer.
struct JsonNumber {
  std::string text;
  bool whole;
};
std::optional<JsonNumber> to_json_number(std::string_view text);

// Without leading and trailing spaces, tabs and line ends.
std::string_view trimmed(std::string_view text);
bool equals_ignoring_case(std::string_view text, std::string_view lower);  // ASCII

}  // namespace mach
