#include "text/chat/json_scanner.h"

#include "text/chat/json_text.h"

namespace mach {

namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

JsonByte JsonScanner::fail() {
  state_ = State::kInvalid;
  return JsonByte::kInvalid;
}

JsonByte JsonScanner::open(char bracket) {
  if (stack_.size() >= kMaxJsonDepth) return fail();
  stack_.push_back(bracket);
  state_ = bracket == '{' ? State::kFirstKey : State::kFirstElement;
  return JsonByte::kOpen;
}

JsonByte JsonScanner::close(char bracket) {
  if (stack_.empty() || stack_.back() != (bracket == '}' ? '{' : '[')) return fail();
  stack_.pop_back();
  state_ = State::kAfter;
  return JsonByte::kClose;
}

JsonByte JsonScanner::begin_value(char c) {
  if (c == '{' || c == '[') return open(c);
  if (c == '"') {
    in_key_ = false;
    state_ = State::kString;
  } else if (c == '-') {
    state_ = State::kMinus;
  } else if (c == '0') {
    state_ = State::kZero;
  } else if (is_digit(c)) {
    state_ = State::kInteger;
  } else {
    const std::string_view word = c == 't' ? "true" : c == 'f' ? "false" : c == 'n' ? "null" : "";
    if (word.empty()) return fail();
    literal_ = word.substr(1);
    state_ = State::kLiteral;
  }
  return JsonByte::kScalar;
}

JsonByte JsonScanner::after_value(char c) {
  if (stack_.empty()) return fail();
  if (c == ',') {
    state_ = stack_.back() == '{' ? State::kKey : State::kValue;
    return JsonByte::kComma;
  }
  if (c == '}' || c == ']') return close(c);
  return fail();
}

JsonByte JsonScanner::string_byte(char c) {
  const JsonByte role = in_key_ ? JsonByte::kKey : JsonByte::kScalar;
  switch (state_) {
    case State::kString:
      if (c == '\\') state_ = State::kEscape;
      if (c == '"') state_ = in_key_ ? State::kColon : State::kAfter;
      return role;
    case State::kEscape:
      if (c == 'u') {
        state_ = State::kUnicode;
        hex_left_ = 4;
        code_unit_ = 0;
        return role;
      }
      if (std::string_view("\"\\/bfnrt").find(c) == std::string_view::npos) return fail();
      state_ = State::kString;
      return role;
    case State::kLowSurrogateSlash:
      if (c != '\\') return fail();
      state_ = State::kLowSurrogateU;
      return role;
    case State::kLowSurrogateU:
      if (c != 'u') return fail();
      state_ = State::kLowSurrogateDigits;
      hex_left_ = 4;
      code_unit_ = 0;
      return role;
    default:
      break;
  }
  const int digit = hex_digit(c);
  if (digit < 0) return fail();
  code_unit_ = code_unit_ * 16 + static_cast<uint32_t>(digit);
  if (--hex_left_ > 0) return role;
  const bool high = code_unit_ >= 0xD800 && code_unit_ < 0xDC00;
  const bool low = code_unit_ >= 0xDC00 && code_unit_ < 0xE000;
  if (low != (state_ == State::kLowSurrogateDigits)) return fail();
  state_ = high ? State::kLowSurrogateSlash : State::kString;
  return role;
}

bool JsonScanner::number_continues(char c) {
  switch (state_) {
    case State::kMinus:
      if (!is_digit(c)) return false;
      state_ = c == '0' ? State::kZero : State::kInteger;
      return true;
    case State::kInteger:
      if (is_digit(c)) return true;
      [[fallthrough]];
    case State::kZero:
      if (c == '.') state_ = State::kPoint;
      if (c == 'e' || c == 'E') state_ = State::kExponent;
      return c == '.' || c == 'e' || c == 'E';
    case State::kPoint:
      if (is_digit(c)) state_ = State::kFraction;
      return is_digit(c);
    case State::kFraction:
      if (c == 'e' || c == 'E') state_ = State::kExponent;
      return is_digit(c) || c == 'e' || c == 'E';
    case State::kExponent:
      if (c == '+' || c == '-') {
        state_ = State::kExponentSign;
        return true;
      }
      [[fallthrough]];
    case State::kExponentSign:
      if (is_digit(c)) state_ = State::kExponentDigits;
      return is_digit(c);
    case State::kExponentDigits:
      return is_digit(c);
    default:
      return false;
  }
}

bool JsonScanner::number_may_end() const {
  return state_ == State::kZero || state_ == State::kInteger || state_ == State::kFraction ||
         state_ == State::kExponentDigits;
}

JsonByte JsonScanner::feed(char c) {
  if (in_string()) return string_byte(c);
  if (state_ == State::kLiteral) {
    if (literal_.front() != c) return fail();
    literal_.remove_prefix(1);
    if (literal_.empty()) state_ = State::kAfter;
    return JsonByte::kScalar;
  }
  if (state_ >= State::kMinus && state_ <= State::kExponentDigits) {
    if (number_continues(c)) return JsonByte::kScalar;
    if (!number_may_end()) return fail();
    state_ = State::kAfter;
  }
  if (is_space(c)) return state_ == State::kInvalid ? JsonByte::kInvalid : JsonByte::kSpace;
  switch (state_) {
    case State::kFirstElement:
      if (c == ']') return close(c);
      [[fallthrough]];
    case State::kValue:
      return begin_value(c);
    case State::kFirstKey:
      if (c == '}') return close(c);
      [[fallthrough]];
    case State::kKey:
      if (c != '"') return fail();
      in_key_ = true;
      state_ = State::kString;
      return JsonByte::kKey;
    case State::kColon:
      if (c != ':') return fail();
      state_ = State::kValue;
      return JsonByte::kColon;
    case State::kAfter:
      return after_value(c);
    default:
      return fail();
  }
}

bool JsonScanner::complete() const { return stack_.empty() && (state_ == State::kAfter || number_may_end()); }

std::optional<JsonKind> json_kind(std::string_view text) {
  JsonScanner scanner;
  char first = 0;
  bool whole = true;
  for (const char c : text) {
    const JsonByte role = scanner.feed(c);
    if (role == JsonByte::kInvalid) return std::nullopt;
    if (scanner.in_string() && static_cast<unsigned char>(c) < 0x20) return std::nullopt;
    if (role == JsonByte::kSpace) continue;
    if (first == 0) first = c;
    if (c == '.' || c == 'e' || c == 'E') whole = false;
  }
  if (!scanner.complete()) return std::nullopt;
  switch (first) {
    case '{':
      return JsonKind::kObject;
    case '[':
      return JsonKind::kArray;
    case '"':
      return JsonKind::kString;
    case 'n':
      return JsonKind::kNull;
    case 't':
    case 'f':
      return JsonKind::kBoolean;
    default:
      return whole ? JsonKind::kInteger : JsonKind::kNumber;
  }
}

void append_json_byte(std::string& out, char c, JsonByte role) {
  const bool in_text = role == JsonByte::kKey || role == JsonByte::kScalar;
  if (in_text && static_cast<unsigned char>(c) < 0x20) {
    append_json_escaped(out, std::string_view(&c, 1));
  } else {
    out.push_back(c);
  }
}

}  // namespace mach
