// Cuts template source into tokens, with the white-space rules of Hugging Face's environment: trim_blocks (a block tag
// eats the newline behind it), lstrip_blocks (and the blanks before it on its line), `-` and `+` modifiers, one newline
// dropped at the end of the template. Comments and raw blocks are gone after this stage.
// Source: the Jinja template designer documentation, "Whitespace Control" and "Escaping".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mach::jinja {

struct Token {
  enum class Type : uint8_t {
    kData,
    kVariableBegin,
    kVariableEnd,
    kBlockBegin,
    kBlockEnd,
    kName,
    kString,   // text holds the value, escapes resolved
    kInteger,  // text holds the digits as written
    kFloat,
    kOperator,  // text holds its characters
    kEnd,
  };
  Type type;
  int line;
  std::string text;

  bool is(Type t) const noexcept { return type == t; }
  bool is_operator(std::string_view op) const noexcept { return type == Type::kOperator && text == op; }
  bool is_name(std::string_view name) const noexcept { return type == Type::kName && text == name; }
};

// The last token is kEnd. `source` is valid UTF-8. On failure throws Failure{kCorruptFile} and leaves the line in `line`.
std::vector<Token> tokenize(std::string_view source, int& line);

}  // namespace mach::jinja
