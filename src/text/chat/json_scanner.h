// Follows one JSON value byte by byte and says what each byte is, so that text can be judged and passed on while it
// still arrives. It builds nothing: a number keeps its spelling, an object its order and its repeated keys.
// Grammar: RFC 8259, with one leniency: a raw control character inside a string is accepted (small models write line
// breaks there); whoever passes the bytes on escapes it with append_json_byte(). Escaped surrogates must come in pairs.
// Single-owner; constant work per byte; nesting is limited to kMaxJsonDepth.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mach {

inline constexpr size_t kMaxJsonDepth = 128;

enum class JsonByte : uint8_t {
  kInvalid,  // this byte cannot stand here; the scanner is of no further use
  kSpace,    // between elements
  kKey,      // of an object key, its quotes included
  kColon,
  kComma,
  kOpen,    // { or [
  kClose,   // } or ]
  kScalar,  // of a string (quotes included), number or literal
};

enum class JsonKind : uint8_t { kNull, kBoolean, kInteger, kNumber, kString, kArray, kObject };

class JsonScanner {
 public:
  JsonByte feed(char c);

  // Whether the bytes so far are one whole value (a number at the top level may still grow).
  bool complete() const;
  bool in_string() const { return state_ >= State::kString && state_ <= State::kLowSurrogateDigits; }
  size_t depth() const { return stack_.size(); }  // open objects and arrays

 private:
  enum class State : uint8_t {
    kValue,
    kFirstElement,
    kFirstKey,
    kKey,
    kColon,
    kAfter,  // a value has ended: comma, closing bracket, or at the top level nothing but space
    kString,
    kEscape,
    kUnicode,
    kLowSurrogateSlash,
    kLowSurrogateU,
    kLowSurrogateDigits,
    kLiteral,
    kMinus,
    kZero,
    kInteger,
    kPoint,
    kFraction,
    kExponent,
    kExponentSign,
    kExponentDigits,
    kInvalid,
  };

  JsonByte fail();
  JsonByte open(char bracket);
  JsonByte close(char bracket);
  JsonByte begin_value(char c);
  JsonByte after_value(char c);
  JsonByte string_byte(char c);
  bool number_continues(char c);
  bool number_may_end() const;

  std::string stack_;  // the open brackets
  State state_ = State::kValue;
  bool in_key_ = false;
  std::string_view literal_;  // what is left of true, false or null
  int hex_left_ = 0;
  uint32_t code_unit_ = 0;
};

// The kind of the one value that `text` is (spaces around it allowed), empty if it is not strict JSON.
std::optional<JsonKind> json_kind(std::string_view text);

// Appends a byte accepted by a scanner; a control character inside a string becomes its escape.
void append_json_byte(std::string& out, char c, JsonByte role);

}  // namespace mach
