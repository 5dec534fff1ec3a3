#include "text/grammar/ebnf.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/utf8.h"

namespace mach::grammar {
namespace {

constexpr int kMaxGroups = 64;              // nesting
constexpr uint32_t kMaxCount = 10'000'000;  // of {n,m}

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

class EbnfParser {
 public:
  explicit EbnfParser(std::string_view text) : text_(text) {
    if (text.size() > kMaxEbnfBytes) {
      throw Error(ErrorCode::kInvalidRequest,
                  fmt::format("grammar: {} bytes, at most {} are allowed", text.size(), kMaxEbnfBytes));
    }
    if (const size_t bad = find_invalid_utf8(text); bad < text.size()) {
      at_ = bad;
      fail("not UTF-8");
    }
  }

  Grammar parse() {
    skip_space();
    while (at_ < text_.size()) parse_rule();
    for (const auto& [name, use] : rules_) {
      if (use.defined) continue;
      at_ = use.first_use;
      fail(fmt::format("rule \"{}\" is not defined", name));
    }
    const auto root = rules_.find("root");
    if (root == rules_.end()) throw Error(ErrorCode::kInvalidRequest, "grammar: there is no rule \"root\"");
    return in_dependency_order(std::move(builder_).finish(root->second.id));
  }

 private:
  struct RuleUse {
    RuleId id;
    bool defined = false;
    size_t first_use = 0;
  };

  [[noreturn]] void fail(std::string_view what) const {
    const std::string_view before = text_.substr(0, at_);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const size_t line_start = before.rfind('\n') == before.npos ? 0 : before.rfind('\n') + 1;
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("grammar: line {}, column {}: {}", line, at_ - line_start + 1, what));
  }

  bool more() const { return at_ < text_.size(); }
  bool looking_at(std::string_view what) const { return text_.substr(at_).starts_with(what); }
  bool skip(std::string_view what) {
    if (!looking_at(what)) return false;
    at_ += what.size();
    return true;
  }

  void skip_space() {
    while (more()) {
      if (text_[at_] == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string_view name() {
    const size_t begin = at_;
    while (more() && is_name_character(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  // Whether what comes is the head of the next rule.
  bool at_rule_head() {
    const size_t begin = at_;
    const bool named = !name().empty();
    skip_space();
    const bool head = named && looking_at("::=");
    at_ = begin;
    return head;
  }

  RuleUse& use(std::string_view name, size_t where) {
    const auto found = rules_.find(name);
    if (found != rules_.end()) return found->second;
    if (rules_.size() >= kMaxEbnfRules) fail(fmt::format("more than {} rules", kMaxEbnfRules));
    const RuleId id = builder_.declare(std::string(name));
    return rules_.emplace(name, RuleUse{.id = id, .first_use = where}).first->second;
  }

  void parse_rule() {
    const size_t begin = at_;
    const std::string_view rule = name();
    if (rule.empty()) fail("expected the name of a rule");
    skip_space();
    if (!skip("::=")) fail("expected ::=");
    RuleUse& defined = use(rule, begin);
    if (defined.defined) {
      at_ = begin;
      fail(fmt::format("rule \"{}\" is defined twice", rule));
    }
    defined.defined = true;
    const RuleId id = defined.id;
    builder_.define(id, alternatives(0));
    if (more() && !at_rule_head()) fail("expected an item, | or the next rule");
  }

  ExprId alternatives(int depth) {
    if (depth > kMaxGroups) fail("groups are nested too deeply");
    std::vector<ExprId> all;
    do {
      skip_space();
      all.push_back(sequence(depth));
    } while (skip("|"));
    return builder_.choice(std::move(all));
  }

  ExprId sequence(int depth) {
    std::vector<ExprId> items;
    while (more() && text_[at_] != '|' && text_[at_] != ')' && !at_rule_head()) {
      items.push_back(item(depth));
      skip_space();
    }
    return items.empty() ? builder_.empty() : builder_.sequence(std::move(items));
  }

  ExprId item(int depth) {
    ExprId one = primary(depth);
    while (true) {
      const size_t end = at_;
      skip_space();
      if (skip("*")) {
        one = builder_.repeat(one, 0, kUnbounded);
      } else if (skip("+")) {
        one = builder_.repeat(one, 1, kUnbounded);
      } else if (skip("?")) {
        one = builder_.optional(one);
      } else if (skip("{")) {
        one = counted(one);
      } else {
        at_ = end;
        return one;
      }
    }
  }

  ExprId counted(ExprId one) {
    const uint32_t min = number();
    uint32_t max = min;
    skip_space();
    if (skip(",")) {
      skip_space();
      max = looking_at("}") ? kUnbounded : number();
      skip_space();
    }
    if (!skip("}")) fail("expected }");
    if (min > max) fail("a repetition with its limits reversed");
    return builder_.repeat(one, min, max);
  }

  uint32_t number() {
    skip_space();
    const size_t begin = at_;
    uint32_t value = 0;
    for (; more() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      value = value * 10 + static_cast<uint32_t>(text_[at_] - '0');
      if (value > kMaxCount) fail(fmt::format("more than {} repetitions", kMaxCount));
    }
    if (at_ == begin) fail("expected a number");
    return value;
  }

  ExprId primary(int depth) {
    const size_t begin = at_;
    if (skip("\"")) return literal();
    if (skip("[")) return character_class();
    if (skip(".")) return builder_.chars(CharSet::all());
    if (skip("(")) {
      const ExprId inner = alternatives(depth + 1);
      skip_space();
      if (!skip(")")) fail("expected )");
      return inner;
    }
    const std::string_view rule = name();
    if (rule.empty()) fail("expected a rule, \"text\", [class], . or (");
    return builder_.rule(use(rule, begin).id);
  }

  ExprId literal() {
    std::string text;
    while (!skip("\"")) append_utf8(text, character("\""));
    return builder_.bytes(text);
  }

  ExprId character_class() {
    const bool negated = skip("^");
    CharSet set;
    while (!skip("]")) {
      const char32_t first = character("]");
      char32_t last = first;
      if (looking_at("-") && !looking_at("-]")) {
        ++at_;
        last = character("]");
      }
      if (first > last) fail("a range with its ends reversed");
      set.add(first, last);
    }
    if (negated) set = set.complement();
    if (set.empty()) fail("a class without characters");
    return builder_.chars(set);
  }

  char32_t character(std::string_view closing) {
    if (!more() || text_[at_] == '\n') fail(fmt::format("expected {}", closing));
    if (!skip("\\")) {
      const Utf8Char c = decode_utf8(text_.substr(at_));
      at_ += c.length;
      return c.code_point;
    }
    if (!more()) fail("unfinished escape");
    const char c = text_[at_++];
    switch (c) {
      case 'n':
        return U'\n';
      case 'r':
        return U'\r';
      case 't':
        return U'\t';
      case 'x':
        return hex(2);
      case 'u':
        return hex(4);
      case 'U':
        return hex(8);
      default:
        if (std::string_view("\\\"'[]-^/").find(c) != std::string_view::npos) return static_cast<char32_t>(c);
        --at_;
        fail("an unknown escape");
    }
  }

  char32_t hex(size_t count) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; ++i) {
      const char c = more() ? text_[at_] : '?';
      const std::string_view kDigits = "0123456789abcdef";
      const size_t digit = kDigits.find(c >= 'A' && c <= 'F' ? static_cast<char>(c | 0x20) : c);
      if (digit == std::string_view::npos) fail("an escape with too few hexadecimal digits");
      value = value * 16 + digit;
      ++at_;
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) fail("an escape that is no character");
    return static_cast<char32_t>(value);
  }

  std::string_view text_;
  size_t at_ = 0;
  GrammarBuilder builder_;
  std::map<std::string, RuleUse, std::less<>> rules_;
};

}  // namespace

Grammar parse_ebnf(std::string_view text) { return EbnfParser(text).parse(); }

}  // namespace mach::grammar
