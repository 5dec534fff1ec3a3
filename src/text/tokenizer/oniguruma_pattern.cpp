#include "text/tokenizer/oniguruma_pattern.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/utf8.h"

namespace mach {
namespace {

constexpr size_t kMaxPatternBytes = 16384;
constexpr size_t kMaxNesting = 64;  // of groups and of classes
constexpr unsigned kMaxRepeat = 1000;

// The bodies of bracket expressions. White space lacks U+180E, which PCRE2's \s has. Outside a class, \w of Oniguruma also
// has the Latin-1 superscripts and fractions.
constexpr std::string_view kSpaceBody =
    R"(\x09-\x0d\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kWordBody = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
constexpr std::string_view kLoneWordBody =
    R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";
constexpr std::string_view kHexBody = "0-9A-Fa-f";
constexpr std::string_view kDigitBody = R"(\p{Nd})";

struct NamedClass {
  std::string_view name;  // lower case, without space, '_' and '-'
  std::string_view body;  // of a bracket expression
};

// Properties, which POSIX brackets name too but for `punct`; then the long names of general categories.
constexpr std::array kNamedClasses = {
    NamedClass{"alpha", R"(\p{Alphabetic})"},
    NamedClass{"alphabetic", R"(\p{Alphabetic})"},
    NamedClass{"alnum", R"(\p{Alphabetic}\p{Nd})"},
    NamedClass{"digit", kDigitBody},
    NamedClass{"lower", R"(\p{Lowercase})"},
    NamedClass{"lowercase", R"(\p{Lowercase})"},
    NamedClass{"upper", R"(\p{Uppercase})"},
    NamedClass{"uppercase", R"(\p{Uppercase})"},
    NamedClass{"space", kSpaceBody},
    NamedClass{"whitespace", kSpaceBody},
    NamedClass{"punct", R"(\p{P})"},
    NamedClass{"xdigit", kHexBody},
    NamedClass{"word", kWordBody},
    NamedClass{"letter", R"(\p{L})"},
    NamedClass{"uppercaseletter", R"(\p{Lu})"},
    NamedClass{"lowercaseletter", R"(\p{Ll})"},
    NamedClass{"titlecaseletter", R"(\p{Lt})"},
    NamedClass{"modifierletter", R"(\p{Lm})"},
    NamedClass{"otherletter", R"(\p{Lo})"},
    NamedClass{"mark", R"(\p{M})"},
    NamedClass{"nonspacingmark", R"(\p{Mn})"},
    NamedClass{"spacingmark", R"(\p{Mc})"},
    NamedClass{"enclosingmark", R"(\p{Me})"},
    NamedClass{"number", R"(\p{N})"},
    NamedClass{"decimalnumber", R"(\p{Nd})"},
    NamedClass{"letternumber", R"(\p{Nl})"},
    NamedClass{"othernumber", R"(\p{No})"},
    NamedClass{"punctuation", R"(\p{P})"},
    NamedClass{"symbol", R"(\p{S})"},
    NamedClass{"separator", R"(\p{Z})"},
    NamedClass{"other", R"(\p{C})"},
};

constexpr std::string_view kPosixPunctBody = R"(\p{P}\p{S})";

constexpr std::array<std::string_view, 37> kCategories = {
    "C",  "Cc", "Cf", "Cn", "Co", "Cs", "L",  "Ll", "Lm", "Lo", "Lt", "Lu", "M",
    "Mc", "Me", "Mn", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi",
    "Po", "Ps", "S",  "Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs"};

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }
char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

void append_literal(std::string& out, char32_t c) {
  if (c < 0x80 && (is_ascii_letter(static_cast<char>(c)) || is_ascii_digit(static_cast<char>(c)))) {
    out.push_back(static_cast<char>(c));
  } else {
    fmt::format_to(std::back_inserter(out), "\\x{{{:x}}}", static_cast<uint32_t>(c));
  }
}

std::string bracket(std::string_view body, bool negated) {
  return fmt::format("[{}{}]", negated ? "^" : "", body);
}

// A character class as written: a union of plain items and of sub-expressions that match one character each.
struct ClassUnion {
  std::string items;                // for inside [...]
  std::vector<std::string> nested;  // whole expressions

  std::string expression() const {
    if (nested.empty()) return bracket(items, false);
    std::string out = "(?:";
    if (!items.empty()) out += bracket(items, false) + "|";
    for (size_t i = 0; i < nested.size(); ++i) out += (i > 0 ? "|" : "") + nested[i];
    return out + ")";
  }
  bool empty() const { return items.empty() && nested.empty(); }
};

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {}

  std::string run() {
    if (pattern_.size() > kMaxPatternBytes) fail(0, "a pattern this long");
    while (pos_ < pattern_.size()) step();
    if (groups_.size() > 1) fail(pattern_.size(), "an unclosed group");
    close_implicit_groups();
    return std::move(out_);
  }

 private:
  struct Group {
    size_t start = 0;     // in out_, for a quantifier after the group
    size_t implicit = 0;  // "(?i)" inside it: how many groups to close with it
    bool assertion = false;
  };
  static constexpr size_t kNoAtom = SIZE_MAX;

  [[noreturn]] void fail(size_t at, std::string_view construct) const {
    throw Error(ErrorCode::kUnsupported, fmt::format("{}: {} (byte {} of the regex '{}') is not supported",
                                                     where_, construct, at, pattern_.substr(0, 200)));
  }

  bool at_end() const { return pos_ >= pattern_.size(); }
  char peek(size_t ahead = 0) const { return pos_ + ahead < pattern_.size() ? pattern_[pos_ + ahead] : '\0'; }
  bool accept(std::string_view text) {
    if (!pattern_.substr(std::min(pos_, pattern_.size())).starts_with(text)) return false;
    pos_ += text.size();
    return true;
  }
  char32_t take_character() {
    const Utf8Char c = decode_utf8(pattern_.substr(pos_));
    if (!c.valid) fail(pos_, "ill-formed UTF-8");
    pos_ += c.length;
    return c.code_point;
  }

  void emit_atom(std::string_view text) {
    atom_ = out_.size();
    out_ += text;
  }

  void step() {
    switch (peek()) {
      case '\\':
        return escape();
      case '[':
        return emit_atom(char_class(0));
      case '(':
        return open_group();
      case ')':
        return close_group();
      case '*':
      case '+':
      case '?':
        return quantifier();
      case '{':
        return brace();
      case '|':
      case '^':
      case '$':
        out_.push_back(pattern_[pos_++]);
        atom_ = kNoAtom;
        return;
      case '.':
        ++pos_;
        return emit_atom(".");
      default:
        break;
    }
    std::string literal;
    append_literal(literal, take_character());
    emit_atom(literal);
  }

  void open_group() {
    const size_t at = pos_++;
    if (groups_.size() > kMaxNesting) fail(at, "deeper nesting");
    const size_t start = out_.size();
    atom_ = kNoAtom;
    if (accept("?#")) {
      const size_t end = pattern_.find(')', pos_);
      if (end == std::string_view::npos) fail(at, "an unclosed comment");
      pos_ = end + 1;
      return;
    }
    for (const std::string_view kind : {"?:", "?>", "?=", "?!", "?<=", "?<!"}) {
      if (!accept(kind)) continue;
      out_.append("(").append(kind);
      groups_.push_back({start, 0, kind != "?:" && kind != "?>"});
      return;
    }
    if (accept("?<")) {  // a named group; nothing can refer to it
      const size_t end = pattern_.find('>', pos_);
      if (end == std::string_view::npos) fail(at, "an unclosed group name");
      pos_ = end + 1;
    } else if (peek() == '?') {
      return option_group(at, start);
    }
    out_ += "(?:";
    groups_.push_back({start, 0, false});
  }

  // (?i:...) or (?i), which lasts until the group around it ends. 'm' lets '.' match newlines, PCRE2's 's'.
  void option_group(size_t at, size_t start) {
    std::string options = "(?";
    for (++pos_; peek() != ':' && peek() != ')'; ++pos_) {
      switch (peek()) {
        case 'i':
        case '-':
          options.push_back(peek());
          break;
        case 'm':
          options.push_back('s');
          break;
        default:
          fail(at, "this kind of group");
      }
    }
    out_ += options + ":";
    if (pattern_[pos_++] == ':') {
      groups_.push_back({start, 0, false});
    } else {
      ++groups_.back().implicit;
    }
  }

  void close_implicit_groups() { out_.append(groups_.back().implicit, ')'); }

  void close_group() {
    if (groups_.size() == 1) fail(pos_, "an unmatched ')'");
    ++pos_;
    close_implicit_groups();
    out_.push_back(')');
    atom_ = groups_.back().assertion ? kNoAtom : groups_.back().start;
    groups_.pop_back();
  }

  void quantifier() {
    if (atom_ == kNoAtom) fail(pos_, "a quantifier here");
    out_.push_back(pattern_[pos_++]);
    if (peek() == '+' || peek() == '?') out_.push_back(pattern_[pos_++]);
    atom_ = kNoAtom;
  }

  std::optional<unsigned> take_number() {
    if (!is_ascii_digit(peek())) return std::nullopt;
    unsigned value = 0;
    const size_t at = pos_;
    while (is_ascii_digit(peek())) {
      value = value * 10 + static_cast<unsigned>(peek() - '0');
      if (value > kMaxRepeat) fail(at, fmt::format("a repeat count above {}", kMaxRepeat));
      ++pos_;
    }
    return value;
  }

  // {n} {n,} {,m} {n,m}; anything else is a literal brace. Unlike PCRE2, '+' after it repeats the whole once more, and '?'
  // after {n} makes it optional.
  void brace() {
    const size_t at = pos_++;
    const std::optional<unsigned> low = take_number();
    const bool comma = accept(",");
    const std::optional<unsigned> high = comma ? take_number() : low;
    if ((!low && !high) || !accept("}")) {
      pos_ = at + 1;
      return emit_atom("\\{");
    }
    if (atom_ == kNoAtom) fail(at, "a quantifier here");
    std::string interval = fmt::format("{{{},", low.value_or(0));
    if (high) interval += std::to_string(*high);
    interval += "}";
    const bool wrap = peek() == '+' || (peek() == '?' && !comma);
    if (wrap) out_.insert(atom_, "(?:");
    out_ += interval;
    if (wrap) out_ += ")";
    if (peek() == '+' || peek() == '?') out_.push_back(pattern_[pos_++]);
    atom_ = kNoAtom;
  }

  void escape() {
    const size_t at = pos_++;
    if (at_end()) fail(at, "a trailing backslash");
    const char c = peek();
    switch (c) {
      case 'b':
        ++pos_;
        out_ += fmt::format("(?:(?<=[{0}])(?![{0}])|(?<![{0}])(?=[{0}]))", kLoneWordBody);
        atom_ = kNoAtom;
        return;
      case 'B':
        ++pos_;
        out_ += fmt::format("(?:(?<=[{0}])(?=[{0}])|(?<![{0}])(?![{0}]))", kLoneWordBody);
        atom_ = kNoAtom;
        return;
      case 'A':
      case 'z':
      case 'Z':
        ++pos_;
        out_.append("\\").push_back(c);
        atom_ = kNoAtom;
        return;
      default:
        break;
    }
    if (auto shorthand = shorthand_class(at)) {
      if (shorthand->body == kWordBody) shorthand->body = kLoneWordBody;
      return emit_atom(bracket(shorthand->body, shorthand->negated));
    }
    std::string literal;
    append_literal(literal, escaped_character(at));
    emit_atom(literal);
  }

  struct Shorthand {
    std::string body;
    bool negated;
  };

  // After the backslash: \d \w \s \h, their capitals, \p{...}.
  std::optional<Shorthand> shorthand_class(size_t at) {
    const char c = peek();
    const bool capital = c >= 'A' && c <= 'Z';
    switch (to_lower(c)) {
      case 'd':
        ++pos_;
        return Shorthand{std::string(kDigitBody), capital};
      case 'w':
        ++pos_;
        return Shorthand{std::string(kWordBody), capital};
      case 's':
        ++pos_;
        return Shorthand{std::string(kSpaceBody), capital};
      case 'h':
        ++pos_;
        return Shorthand{std::string(kHexBody), capital};
      case 'p':
        ++pos_;
        return property(at, capital);
      default:
        return std::nullopt;
    }
  }

  Shorthand property(size_t at, bool negated) {
    const size_t end = pattern_.find('}', pos_);
    if (peek() != '{' || end == std::string_view::npos) fail(at, "\\p without a name in braces");
    std::string_view name = pattern_.substr(pos_ + 1, end - pos_ - 1);
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](char ch) {
      return is_ascii_letter(ch) || is_ascii_digit(ch) || ch == '_' || ch == '-' || ch == ' ';
    });
    if (!plain) fail(at, "this property name");
    pos_ = end + 1;
    if (const auto body = named_class(name)) return {std::string(*body), negated};
    // Otherwise a script, which PCRE2 refuses by itself if it does not know it. "sc:": not by Script_Extensions.
    return {fmt::format("\\p{{sc:{}}}", name), negated};
  }

  static std::optional<std::string> named_class(std::string_view name) {
    for (const std::string_view category : kCategories) {
      const bool same = std::equal(name.begin(), name.end(), category.begin(), category.end(),
                                   [](char a, char b) { return to_lower(a) == to_lower(b); });
      if (same) return fmt::format("\\p{{{}}}", category);
    }
    std::string folded;
    for (const char c : name) {
      if (c != ' ' && c != '_' && c != '-') folded.push_back(to_lower(c));
    }
    for (const NamedClass& row : kNamedClasses) {
      if (row.name == folded) return std::string(row.body);
    }
    return std::nullopt;
  }

  char32_t take_hex(size_t at, size_t min_digits, size_t max_digits) {
    char32_t value = 0;
    size_t digits = 0;
    for (; digits < max_digits; ++digits, ++pos_) {
      const char c = to_lower(peek());
      if (is_ascii_digit(c)) {
        value = value * 16 + static_cast<char32_t>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        value = value * 16 + static_cast<char32_t>(c - 'a' + 10);
      } else {
        break;
      }
    }
    if (digits < min_digits || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
      fail(at, "this code point");
    return value;
  }

  // After the backslash: one character.
  char32_t escaped_character(size_t at) {
    const char c = peek();
    if (!is_ascii_letter(c) && !is_ascii_digit(c)) return take_character();
    ++pos_;
    switch (c) {
      case 't':
        return '\t';
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 'f':
        return '\f';
      case 'v':
        return '\v';
      case 'a':
        return '\a';
      case 'e':
        return 0x1b;
      case 'u':
        return take_hex(at, 4, 4);
      case 'x':
        if (accept("{")) {
          const char32_t value = take_hex(at, 1, 8);
          if (!accept("}")) fail(at, "this code point");
          return value;
        }
        // Two digits name a byte in Oniguruma, so only ASCII is a character by itself.
        if (const char32_t value = take_hex(at, 1, 2); value < 0x80) return value;
        fail(at, "a byte above 7f");
      default:
        fail(at, fmt::format("\\{}", c));
    }
  }

  // From '[' to its ']': an expression that matches exactly one character.
  std::string char_class(size_t depth) {
    const size_t at = pos_++;
    if (depth > kMaxNesting) fail(at, "deeper nesting");
    const bool negated = accept("^");
    std::vector<ClassUnion> operands(1);  // of &&
    while (!accept("]")) {
      if (at_end()) fail(at, "an unclosed class");
      if (accept("&&")) {
        operands.emplace_back();
      } else {
        class_item(operands.back(), depth);
      }
    }
    for (const ClassUnion& operand : operands) {
      if (operand.empty()) fail(at, "an empty class");
    }
    if (operands.size() == 1 && operands[0].nested.empty()) return bracket(operands[0].items, negated);
    std::string all;
    for (size_t i = 0; i + 1 < operands.size(); ++i) all += "(?=" + operands[i].expression() + ")";
    all += operands.back().expression();
    return negated ? "(?:(?!" + all + ")(?s:.))" : "(?:" + all + ")";
  }

  void class_item(ClassUnion& into, size_t depth) {
    const size_t at = pos_;
    if (peek() == '[') {
      if (peek(1) == ':' && posix_class(into)) return;
      into.nested.push_back(char_class(depth + 1));
      return;
    }
    if (peek() == '\\') {
      ++pos_;
      if (const auto shorthand = shorthand_class(at)) {
        if (shorthand->negated) {
          into.nested.push_back(bracket(shorthand->body, true));
        } else {
          into.items += shorthand->body;
        }
        return;
      }
      pos_ = at;
    }
    const char32_t first = class_character();
    char32_t last = first;
    if (peek() == '-' && peek(1) != ']' && peek(1) != '\0') {
      const size_t dash = pos_++;
      if (peek() == '[' ||
          (peek() == '\\' && std::string_view("dDwWsShHpP").find(peek(1)) != std::string_view::npos)) {
        pos_ = dash;  // [a-\d]: the dash is itself
      } else {
        last = class_character();
        if (last < first) fail(at, "a range that runs backwards");
      }
    }
    append_literal(into.items, first);
    if (last != first) {
      into.items.push_back('-');
      append_literal(into.items, last);
    }
  }

  char32_t class_character() {
    const size_t at = pos_;
    if (peek() != '\\') return take_character();
    ++pos_;
    if (at_end()) fail(at, "a trailing backslash");
    if (accept("b")) return '\b';
    return escaped_character(at);
  }

  bool posix_class(ClassUnion& into) {
    const size_t end = pattern_.find(":]", pos_ + 2);
    if (end == std::string_view::npos) return false;
    std::string_view name = pattern_.substr(pos_ + 2, end - pos_ - 2);
    const bool negated = name.starts_with('^');
    if (negated) name.remove_prefix(1);
    const auto row = std::find_if(kNamedClasses.begin(), kNamedClasses.end(),
                                  [&](const NamedClass& candidate) { return candidate.name == name; });
    if (row == kNamedClasses.end()) return false;
    const std::string_view body = row->name == "punct" ? kPosixPunctBody : row->body;
    pos_ = end + 2;
    if (negated) {
      into.nested.push_back(bracket(body, true));
    } else {
      into.items += body;
    }
    return true;
  }

  std::string_view pattern_;
  const std::string& where_;
  size_t pos_ = 0;
  std::string out_;
  size_t atom_ = kNoAtom;  // where in out_ the expression starts that a quantifier would apply to
  std::vector<Group> groups_ = std::vector<Group>(1);
};

}  // namespace

std::string translate_oniguruma(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

}  // namespace mach
