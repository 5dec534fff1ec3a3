#include "text/chat/python_literal.h"

#include <cstdint>

#include "base/utf8.h"
#include "text/chat/json_scanner.h"
#include "text/chat/json_text.h"

namespace mach {

namespace {

// Each read_* consumes what it reads and returns false, at any place, if the text is something else.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool read_all(std::string& out) {
    if (!read_value(out, 0)) return false;
    skip_space();
    return rest_.empty();
  }

 private:
  void skip_space() {
    const size_t first = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(first == std::string_view::npos ? rest_.size() : first);
  }
  bool take(char c) {
    skip_space();
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool read_value(std::string& out, size_t depth) {
    skip_space();
    if (rest_.empty() || depth >= kMaxJsonDepth) return false;
    const char c = rest_.front();
    if (c == '{') return read_dict(out, depth);
    if (c == '[' || c == '(') return read_list(out, depth);
    if (c == '"' || c == '\'') {
      std::string text;
      if (!read_string(text)) return false;
      out += json_quoted(text);
      return true;
    }
    return read_word(out);
  }

  bool read_dict(std::string& out, size_t depth) {
    take('{');
    out.push_back('{');
    for (bool first = true; !take('}'); first = false) {
      if (!first) {
        if (!take(',')) return false;
        if (take('}')) break;
        out += ", ";
      }
      skip_space();
      std::string key;
      if (rest_.starts_with('"') || rest_.starts_with('\'')) {
        if (!read_string(key)) return false;
      } else if (!read_word(key)) {
        return false;
      }
      if (!take(':')) return false;
      out += json_quoted(key) + ": ";
      if (!read_value(out, depth + 1)) return false;
    }
    out.push_back('}');
    return true;
  }

  bool read_list(std::string& out, size_t depth) {
    const bool tuple = rest_.front() == '(';
    const char closing = tuple ? ')' : ']';
    rest_.remove_prefix(1);
    out.push_back('[');
    size_t count = 0;
    bool comma = false;
    while (!take(closing)) {
      if (count > 0) {
        if (!take(',')) return false;
        comma = true;
        if (take(closing)) break;
        out += ", ";
      }
      if (!read_value(out, depth + 1)) return false;
      ++count;
    }
    out.push_back(']');
    return !tuple || count != 1 || comma;  // (x) is x in brackets, not a tuple
  }

  bool read_word(std::string& out) {
    const size_t end = rest_.find_first_of(" \t\r\n,:]})");
    const std::string_view word = rest_.substr(0, end);
    if (word.empty()) return false;
    rest_.remove_prefix(word.size());
    if (word == "True" || word == "true") {
      out += "true";
    } else if (word == "False" || word == "false") {
      out += "false";
    } else if (word == "None" || word == "null") {
      out += "null";
    } else {
      const auto number = to_json_number(word);
      if (!number) return false;
      out += number->text;
    }
    return true;
  }

  bool read_hex(size_t digits, uint32_t& code) {
    if (rest_.size() < digits) return false;
    code = 0;
    for (size_t i = 0; i < digits; ++i) {
      const int digit = hex_digit(rest_[i]);
      if (digit < 0) return false;
      code = code * 16 + static_cast<uint32_t>(digit);
    }
    rest_.remove_prefix(digits);
    return code < 0x110000 && (code < 0xD800 || code > 0xDFFF);
  }

  bool read_escape(std::string& out) {
    if (rest_.empty()) return false;
    const char c = rest_.front();
    rest_.remove_prefix(1);
    constexpr std::string_view kNames = "abfnrtv\\'\"";
    constexpr std::string_view kValues = "\a\b\f\n\r\t\v\\'\"";
    if (const size_t at = kNames.find(c); at != std::string_view::npos) {
      out.push_back(kValues[at]);
      return true;
    }
    uint32_t code = 0;
    switch (c) {
      case '\n':  // a continued line
        return true;
      case 'x':
        if (!read_hex(2, code)) return false;
        break;
      case 'u':
        if (!read_hex(4, code)) return false;
        break;
      case 'U':
        if (!read_hex(8, code)) return false;
        break;
      default:
        if (c < '0' || c > '7') {  // Python keeps the backslash of an escape it does not know
          out.push_back('\\');
          out.push_back(c);
          return true;
        }
        code = static_cast<uint32_t>(c - '0');
        for (int i = 0; i < 2 && !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '7'; ++i) {
          code = code * 8 + static_cast<uint32_t>(rest_.front() - '0');
          rest_.remove_prefix(1);
        }
    }
    append_utf8(out, code);
    return true;
  }

  bool read_string(std::string& out) {
    const char quote = rest_.front();
    rest_.remove_prefix(1);
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == quote) return true;
      if (c == '\n') return false;
      if (c != '\\') {
        out.push_back(c);
      } else if (!read_escape(out)) {
        return false;
      }
    }
    return false;
  }

  std::string_view rest_;
};

}  // namespace

std::optional<std::string> python_literal_to_json(std::string_view text) {
  std::string out;
  if (!Reader(text).read_all(out)) return std::nullopt;
  return out;
}

}  // namespace mach
