#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "base/utf8.h"
#include "text/jinja/failure.h"
#include "text/jinja/unicode.h"

namespace mach::jinja {
namespace {

// Longest first.
constexpr std::array<std::string_view, 26> kOperators = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                         "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                         ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

[[noreturn]] void fail_syntax(const std::string& message) { fail(ErrorCode::kCorruptFile, message); }

bool ascii_digit(char c) { return c >= '0' && c <= '9'; }

std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string source, int& line) : source_(std::move(source)), line_(line) {}

  std::vector<Token> run() {
    line_ = 1;
    while (at_ < source_.size()) root();
    add(Token::Type::kEnd, {});
    return std::move(tokens_);
  }

 private:
  // What follows "{%", "{{" or "{#": '-' and '+' change the white space around a tag, ' ' stands for neither.
  char sign_at(size_t at) const {
    return at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : ' ';
  }

  void add(Token::Type type, std::string text) { tokens_.push_back({type, line_, std::move(text)}); }

  // Moves to `end`, counting lines.
  void advance(size_t end) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                                         source_.begin() + static_cast<ptrdiff_t>(end), '\n'));
    line_start_ = end > at_ ? source_[end - 1] == '\n' : line_start_;
    at_ = end;
  }

  size_t skip_spaces(size_t at) const {
    while (at < source_.size()) {
      size_t next = at;
      if (!is_space(next_code_point(source_, next))) break;
      at = next;
    }
    return at;
  }

  bool starts(size_t at, std::string_view text) const {
    return std::string_view(source_).substr(at).starts_with(text);
  }

  // Text up to the next tag, cut as the tag's sign says, then the tag.
  void root() {
    const std::string_view all = source_;
    size_t tag = all.find('{', at_);
    while (tag != std::string_view::npos && !starts(tag, "{{") && !starts(tag, "{%") && !starts(tag, "{#")) {
      tag = all.find('{', tag + 1);
    }
    if (tag == std::string_view::npos) {
      add(Token::Type::kData, source_.substr(at_));
      advance(source_.size());
      return;
    }
    const char kind = source_[tag + 1];
    const char sign = sign_at(tag + 2);
    data_before(tag, sign, kind != '{');
    const size_t inside = tag + (sign == ' ' ? 2 : 3);
    if (kind == '{') {
      add(Token::Type::kVariableBegin, {});
      advance(inside);
      expression(Token::Type::kVariableEnd, "}}");
    } else if (kind == '#') {
      comment(inside);
    } else if (const auto raw_end = raw_begin(inside)) {
      raw(*raw_end);
    } else {
      add(Token::Type::kBlockBegin, {});
      advance(inside);
      expression(Token::Type::kBlockEnd, "%}");
    }
  }

  void data_before(size_t tag, char sign, bool block) {
    std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    if (sign == '-') {
      text = strip(text, {}, false, true);
    } else if (sign == ' ' && block) {
      const size_t newline = text.rfind('\n');
      const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
      const bool whole_line = line > 0 || line_start_;
      if (whole_line && strip(text.substr(line), {}, true, false).empty()) text = text.substr(0, line);
    }
    if (!text.empty()) add(Token::Type::kData, std::string(text));
    advance(tag);
  }

  // Where a tag that closes with `close` at `at` ends, its sign and what it eats included; nothing when it does not
  // close here. Block and comment tags eat one newline, unless '+' forbids it.
  std::optional<size_t> tag_end(size_t at, std::string_view close) const {
    if (starts(at, close)) {
      const size_t end = at + close.size();
      const bool trim = close != "}}" && end < source_.size() && source_[end] == '\n';
      return trim ? end + 1 : end;
    }
    if (at >= source_.size() || !starts(at + 1, close)) return std::nullopt;
    if (source_[at] == '-') return skip_spaces(at + 1 + close.size());
    if (source_[at] == '+' && close != "}}") return at + 1 + close.size();
    return std::nullopt;
  }

  void comment(size_t inside) {
    // Every "#}" may be the end; a sign before it belongs to it.
    const size_t close = source_.find("#}", inside);
    if (close == std::string::npos) fail_syntax("Missing end of comment tag");
    const bool signed_end = close > inside && (source_[close - 1] == '-' || source_[close - 1] == '+');
    advance(*tag_end(signed_end ? close - 1 : close, "#}"));
  }

  // `inside` is behind "{%". Returns the end of a whole `raw` tag, which does not eat the newline behind it.
  std::optional<size_t> raw_begin(size_t inside) const {
    size_t at = skip_spaces(inside);
    if (!starts(at, "raw")) return std::nullopt;
    at = skip_spaces(at + 3);
    if (starts(at, "%}")) return at + 2;
    return starts(at, "-%}") ? std::optional(skip_spaces(at + 3)) : std::nullopt;
  }

  void raw(size_t begin) {
    advance(begin);
    for (size_t tag = source_.find("{%", at_); tag != std::string::npos; tag = source_.find("{%", tag + 2)) {
      const char sign = sign_at(tag + 2);
      size_t at = skip_spaces(tag + (sign == ' ' ? 2 : 3));
      if (!starts(at, "endraw")) continue;
      at = skip_spaces(at + 6);
      const auto end = tag_end(at, "%}");
      if (!end) continue;
      data_before(tag, sign, true);
      advance(*end);
      return;
    }
    fail_syntax("Missing end of raw directive");
  }

  // Tokens of a tag's inside, up to and with its end.
  void expression(Token::Type end_type, std::string_view close) {
    std::string open;  // brackets not closed yet: inside them "}}" is two brackets, not an end
    while (at_ < source_.size()) {
      if (open.empty()) {
        if (const auto end = tag_end(at_, close)) {
          add(end_type, {});
          advance(*end);
          return;
        }
      }
      const size_t blank = skip_spaces(at_);
      if (blank != at_) {
        advance(blank);
      } else if (!number() && !name() && !string()) {
        operation(open);
      }
    }
    // The parser meets the end and knows what it waited for.
  }

  bool number() {
    const std::string_view rest = std::string_view(source_).substr(at_);
    if (rest.empty() || !ascii_digit(rest.front())) return false;
    const auto digits = [&](size_t from, auto accept) {
      size_t at = from;
      while (at < rest.size() && (accept(rest[at]) || (rest[at] == '_' && at > from && at + 1 < rest.size() &&
                                                       accept(rest[at + 1]))))
        ++at;
      return at;
    };
    const auto decimal = [](char c) { return ascii_digit(c); };
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';  // "x.0.1" has no float in it
    const size_t whole = digits(0, decimal);
    if (!after_dot) {
      size_t end = whole;
      bool is_float = false;
      if (end + 1 < rest.size() && rest[end] == '.' && ascii_digit(rest[end + 1])) {
        end = digits(end + 1, decimal);
        is_float = true;
      }
      if (end < rest.size() && (rest[end] == 'e' || rest[end] == 'E')) {
        const size_t power =
            end + 1 + (end + 1 < rest.size() && (rest[end + 1] == '+' || rest[end + 1] == '-') ? 1 : 0);
        if (power < rest.size() && ascii_digit(rest[power])) {
          end = digits(power, decimal);
          is_float = true;
        }
      }
      if (is_float) return literal(Token::Type::kFloat, end);
    }
    if (rest.size() > 2 && rest[0] == '0') {
      const char base = static_cast<char>(rest[1] | 0x20);
      const auto accept = [base](char c) {
        const char lower = static_cast<char>(c | 0x20);
        if (base == 'b') return c == '0' || c == '1';
        if (base == 'o') return c >= '0' && c <= '7';
        return base == 'x' && (ascii_digit(c) || (lower >= 'a' && lower <= 'f'));
      };
      const size_t from = rest[2] == '_' ? 3 : 2;
      if (from < rest.size() && accept(rest[from]))
        return literal(Token::Type::kInteger, digits(from, accept));
    }
    if (rest[0] != '0') return literal(Token::Type::kInteger, whole);
    return literal(Token::Type::kInteger, digits(0, [](char c) { return c == '0'; }));
  }

  bool literal(Token::Type type, size_t length) {
    std::string text = source_.substr(at_, length);
    std::erase(text, '_');
    add(type, std::move(text));
    advance(at_ + length);
    return true;
  }

  bool name() {
    size_t end = at_;
    if (!is_identifier_start(next_code_point(source_, end))) return false;
    while (end < source_.size()) {
      size_t next = end;
      if (!is_identifier_part(next_code_point(source_, next))) break;
      end = next;
    }
    add(Token::Type::kName, source_.substr(at_, end - at_));
    advance(end);
    return true;
  }

  bool string() {
    const char quote = source_[at_];
    if (quote != '"' && quote != '\'') return false;
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail_syntax("a string literal does not end");
    add(Token::Type::kString, unescape(std::string_view(source_).substr(at_ + 1, end - at_ - 1)));
    advance(end + 1);
    return true;
  }

  void operation(std::string& open) {
    for (const std::string_view op : kOperators) {
      if (!starts(at_, op)) continue;
      const char c = op.front();
      if (c == '{' || c == '(' || c == '[') open += c == '{' ? '}' : c == '(' ? ')' : ']';
      if (c == '}' || c == ')' || c == ']') {
        if (open.empty()) fail_syntax(fmt::format("unexpected '{}'", c));
        if (open.back() != c) fail_syntax(fmt::format("unexpected '{}', expected '{}'", c, open.back()));
        open.pop_back();
      }
      add(Token::Type::kOperator, std::string(op));
      advance(at_ + op.size());
      return;
    }
    size_t end = at_;
    next_code_point(source_, end);
    fail_syntax(fmt::format("unexpected char '{}'", source_.substr(at_, end - at_)));
  }

  // Python's escapes, as in "unicode-escape".
  static std::string unescape(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\' || i + 1 == text.size()) {
        out += text[i];
        continue;
      }
      const char c = text[++i];
      constexpr std::string_view kLetters = "abfnrtv\\'\"";
      constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
      if (const size_t row = kLetters.find(c); row != std::string_view::npos) {
        out += kMeanings[row];
      } else if (c >= '0' && c <= '7') {
        char32_t code = 0;
        size_t end = i;
        for (; end < std::min(i + 3, text.size()) && text[end] >= '0' && text[end] <= '7'; ++end) {
          code = code * 8 + static_cast<char32_t>(text[end] - '0');
        }
        append_utf8(out, code);
        i = end - 1;
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const size_t count = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        append_utf8(out, hex_escape(text.substr(i + 1), count));
        i += count;
      } else if (c == 'N') {
        fail_syntax("\\N{...} escapes are not supported");
      } else if (c != '\n') {  // an escaped newline is nothing
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  static char32_t hex_escape(std::string_view text, size_t count) {
    char32_t code = 0;
    for (size_t i = 0; i < count; ++i) {
      const char c = i < text.size() ? text[i] : '\0';
      const char lower = static_cast<char>(c | 0x20);
      if (!ascii_digit(c) && (lower < 'a' || lower > 'f')) fail_syntax("truncated \\x, \\u or \\U escape");
      code = code * 16 + static_cast<char32_t>(ascii_digit(c) ? c - '0' : lower - 'a' + 10);
    }
    if (code > 0x10FFFF) fail_syntax("illegal Unicode character in a string literal");
    if (code >= 0xD800 && code <= 0xDFFF) fail_syntax("a lone surrogate in a string literal is no character");
    return code;
  }

  std::string source_;
  int& line_;
  size_t at_ = 0;
  bool line_start_ = true;  // what was consumed last ended a line
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, int& line) {
  return Lexer(normalize_newlines(source), line).run();
}

}  // namespace mach::jinja
