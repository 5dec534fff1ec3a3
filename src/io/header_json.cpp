#include "io/header_json.h"

#include <algorithm>

#include "mach/error.h"

#include "base/quoted_name.h"
#include "base/utf8.h"

namespace mach {
namespace {

bool is_space(char c) noexcept { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

}  // namespace

void HeaderJson::fail(std::string_view problem) const {
  std::string text = std::string(what_) + ": header byte " + std::to_string(position_) + ": ";
  if (!tensor_.empty()) text += "tensor " + quoted_name(tensor_) + ": ";
  throw Error(ErrorCode::kCorruptFile, text + std::string(problem));
}

void HeaderJson::skip_space() noexcept {
  while (position_ < text_.size() && is_space(text_[position_])) ++position_;
}

char HeaderJson::peek() noexcept {
  skip_space();
  return position_ < text_.size() ? text_[position_] : '\0';
}

bool HeaderJson::accept(char c) noexcept {
  if (peek() != c || position_ == text_.size()) return false;
  ++position_;
  return true;
}

void HeaderJson::expect(char c, std::string_view context) {
  if (!accept(c)) fail("expected '" + std::string(1, c) + "' " + std::string(context));
}

bool HeaderJson::accept_null() noexcept {
  if (peek() != 'n' || !text_.substr(position_).starts_with("null")) return false;
  position_ += 4;
  return true;
}

std::string_view HeaderJson::string(size_t max_bytes, std::string_view context) {
  if (!accept('"')) fail("expected a string " + std::string(context));
  const size_t start = position_;
  // Names have no escapes as a rule: then the text itself is the value.
  while (position_ < text_.size()) {
    const char c = text_[position_];
    if (c == '"') {
      const std::string_view plain = text_.substr(start, position_ - start);
      if (plain.size() > max_bytes)
        fail("a string of more than " + std::to_string(max_bytes) + " bytes " + std::string(context));
      ++position_;
      return plain;
    }
    if (c == '\\') break;
    if (static_cast<unsigned char>(c) < 0x20)
      fail("a control character inside a string " + std::string(context));
    ++position_;
  }
  decoded_.assign(text_.substr(start, position_ - start));
  while (position_ < text_.size()) {
    if (decoded_.size() > max_bytes)
      fail("a string of more than " + std::to_string(max_bytes) + " bytes " + std::string(context));
    const char c = text_[position_];
    if (static_cast<unsigned char>(c) < 0x20)
      fail("a control character inside a string " + std::string(context));
    ++position_;
    if (c == '"') return decoded_;
    if (c == '\\') {
      decode_escape(context);
    } else {
      decoded_ += c;
    }
  }
  fail("the header ends inside a string " + std::string(context));
}

void HeaderJson::decode_escape(std::string_view context) {
  const char c = position_ < text_.size() ? text_[position_] : '\0';
  ++position_;
  switch (c) {
    case '"':
    case '\\':
    case '/':
      decoded_ += c;
      return;
    case 'b':
      decoded_ += '\b';
      return;
    case 'f':
      decoded_ += '\f';
      return;
    case 'n':
      decoded_ += '\n';
      return;
    case 'r':
      decoded_ += '\r';
      return;
    case 't':
      decoded_ += '\t';
      return;
    case 'u':
      break;
    default:
      fail("an unknown escape inside a string " + std::string(context));
  }
  uint32_t code_point = hex4(context);
  if (code_point >= 0xdc00 && code_point <= 0xdfff) fail("an unpaired surrogate " + std::string(context));
  if (code_point >= 0xd800 && code_point <= 0xdbff) {
    if (!text_.substr(std::min(position_, text_.size())).starts_with("\\u")) {
      fail("an unpaired surrogate " + std::string(context));
    }
    position_ += 2;
    const uint32_t low = hex4(context);
    if (low < 0xdc00 || low > 0xdfff) fail("an unpaired surrogate " + std::string(context));
    code_point = 0x10000 + ((code_point - 0xd800) << 10) + (low - 0xdc00);
  }
  append_utf8(decoded_, code_point);
}

uint32_t HeaderJson::hex4(std::string_view context) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i, ++position_) {
    const char c = position_ < text_.size() ? text_[position_] : '\0';
    uint32_t digit = 0;
    if (is_digit(c)) {
      digit = static_cast<uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint32_t>(c - 'a') + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<uint32_t>(c - 'A') + 10;
    } else {
      fail("a \\u escape without four hexadecimal digits " + std::string(context));
    }
    value = value * 16 + digit;
  }
  return value;
}

uint64_t HeaderJson::integer(std::string_view context) {
  const char first = peek();
  if (!is_digit(first)) fail("expected a whole number, written in digits only, " + std::string(context));
  const size_t start = position_;
  uint64_t value = 0;
  while (position_ < text_.size() && is_digit(text_[position_])) {
    const auto digit = static_cast<uint64_t>(text_[position_] - '0');
    if (__builtin_mul_overflow(value, uint64_t{10}, &value) || __builtin_add_overflow(value, digit, &value)) {
      fail("a number above 2^64 - 1 " + std::string(context));
    }
    ++position_;
  }
  if (first == '0' && position_ - start > 1) fail("a number with leading zeros " + std::string(context));
  const char next = position_ < text_.size() ? text_[position_] : '\0';
  if (next == '.' || next == 'e' || next == 'E') {
    fail("expected a whole number, written in digits only, " + std::string(context));
  }
  return value;
}

void HeaderJson::expect_end() {
  skip_space();
  if (position_ != text_.size()) fail("bytes after the closing brace");
}

}  // namespace mach
