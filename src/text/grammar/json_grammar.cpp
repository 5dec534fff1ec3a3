#include "text/grammar/json_grammar.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

namespace mach::grammar {
namespace {

constexpr uint32_t kMaxIndentSpaces = 40;
constexpr uint32_t kMaxIndentTabs = 12;
constexpr uint32_t kMaxIntegerDigits = 18;
constexpr uint32_t kMaxFractionDigits = 17;

ExprId digits(GrammarBuilder& b, uint32_t min, uint32_t max) {
  return b.repeat(b.chars(CharSet::range(U'0', U'9')), min, max);
}

// A character between quotes: itself or an escape.
ExprId string_character(GrammarBuilder& b) {
  const CharSet literal = CharSet::range(0, 0x1F).add(U'"').add(U'\\').complement();
  const auto hex = [&](CharSet set) { return b.chars(set); };
  const CharSet any = CharSet::range(U'0', U'9').add(U'a', U'f').add(U'A', U'F');
  const CharSet not_d = any.without(CharSet::of(U"dD"));
  const ExprId basic =
      b.choice({b.sequence({hex(not_d), hex(any), hex(any), hex(any)}),
                b.sequence({hex(CharSet::of(U"dD")), hex(CharSet::range(U'0', U'7')), hex(any), hex(any)})});
  const ExprId pair =
      b.sequence({hex(CharSet::of(U"dD")), hex(CharSet::of(U"89abAB")), hex(any), hex(any), b.bytes("\\u"),
                  hex(CharSet::of(U"dD")), hex(CharSet::of(U"cdefCDEF")), hex(any), hex(any)});
  return b.choice(
      {b.chars(literal),
       b.sequence({b.bytes("\\"), b.choice({b.chars(CharSet::of(U"\"\\/bfnrt")),
                                            b.sequence({b.bytes("u"), b.choice({basic, pair})})})})});
}

}  // namespace

JsonGrammar::JsonGrammar(GrammarBuilder& builder, std::optional<ValueSpelling> spelling)
    : b_(builder), spelling_(std::move(spelling)) {
  if (spelling_) {
    space_ = b_.empty();
    comma_ = b_.bytes(",");
    colon_ = b_.bytes(":");
    character_ = b_.chars(CharSet::all());
    string_ = b_.define_rule("string", quoted(CharDfa::all()), true);
  } else {
    const ExprId indent = b_.define_rule("indent",
                                         b_.choice({b_.repeat(b_.bytes(" "), 0, kMaxIndentSpaces),
                                                    b_.repeat(b_.bytes("\t"), 0, kMaxIndentTabs)}),
                                         true);
    space_ = b_.choice({b_.empty(), b_.bytes(" "), b_.sequence({b_.bytes("\n"), indent})});
    comma_ = b_.sequence({b_.bytes(","), space_});
    colon_ = b_.sequence({b_.bytes(":"), b_.optional(b_.bytes(" "))});
    character_ = string_character(b_);
    // A rule of its own, quotes included: all strings of a grammar share its masks.
    string_ = b_.define_rule("string", in_quotes(b_.repeat(character_, 0, kUnbounded)), true);
  }

  const ExprId sign = b_.optional(b_.bytes("-"));
  const ExprId whole =
      b_.choice({b_.bytes("0"),
                 b_.sequence({b_.chars(CharSet::range(U'1', U'9')), digits(b_, 0, kMaxIntegerDigits - 1)})});
  integer_ = b_.define_rule("integer", b_.sequence({sign, whole}), true);
  const ExprId fraction = b_.sequence({b_.bytes("."), digits(b_, 1, kMaxFractionDigits)});
  const ExprId exponent = b_.sequence(
      {b_.chars(CharSet::of(U"eE")), b_.optional(b_.chars(CharSet::of(U"+-"))), digits(b_, 1, 2)});
  number_ = b_.define_rule("number", b_.sequence({sign, whole, b_.optional(fraction), b_.optional(exponent)}),
                           true);

  const RuleId value = b_.declare("value", true);
  value_ = b_.rule(value);
  const ExprId any_key =
      spelling_
          ? b_.repeat(b_.chars(CharSet::range(U'a', U'z').add(U'A', U'Z').add(U'0', U'9').add(U'_')), 1, 64)
          : string_;
  const ExprId member = b_.sequence({any_key, colon_, value_});
  members_ = b_.sequence({member, b_.repeat(b_.sequence({comma_, member}), 0, kUnbounded)});
  object_ = braces(members_, true);
  array_ = brackets(b_.sequence({value_, b_.repeat(b_.sequence({comma_, value_}), 0, kUnbounded)}), true);
  b_.define(value, b_.choice({object_, array_, string_, number_, b_.bytes("true"), b_.bytes("false"),
                              b_.bytes("null")}));
}

ExprId JsonGrammar::string(uint32_t min, uint32_t max) {
  if (min == 0 && max == kUnbounded) return string_;
  if (spelling_ && !spelling_->quote_text.empty()) return quoted(CharDfa::length(min, max));
  return in_quotes(b_.repeat(character_, min, max));
}

ExprId JsonGrammar::quoted(const CharDfa& content) {
  if (!spelling_) return in_quotes(string_expression(b_, content, StringEncoding::kJson));
  const std::string& end = spelling_->quote_text;
  return in_quotes(string_expression(b_, end.empty() ? content : content.without(CharDfa::containing(end)),
                                     StringEncoding::kRaw));
}

ExprId JsonGrammar::in_quotes(ExprId content) {
  const ExprId quote = spelling_ ? spelling_->quote : b_.bytes("\"");
  return b_.sequence({quote, content, quote});
}

ExprId JsonGrammar::key(const std::string& name) {
  if (!spelling_) return b_.bytes(nlohmann::ordered_json(name).dump());
  const bool bare = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
  return bare ? b_.bytes(name) : in_quotes(b_.bytes(name));
}

ExprId JsonGrammar::enclosed(std::string_view open, ExprId content, std::string_view close,
                             bool may_be_empty) {
  const ExprId filled = b_.sequence({content, space_});
  return b_.sequence({b_.bytes(open), space_, may_be_empty ? b_.optional(filled) : filled, b_.bytes(close)});
}

ExprId JsonGrammar::braces(ExprId members, bool may_be_empty) {
  return enclosed("{", members, "}", may_be_empty);
}

ExprId JsonGrammar::brackets(ExprId elements, bool may_be_empty) {
  return enclosed("[", elements, "]", may_be_empty);
}

ExprId JsonGrammar::literal(const nlohmann::ordered_json& value) {
  if (spelling_ && value.is_string()) return in_quotes(b_.bytes(value.get_ref<const std::string&>()));
  if (!value.is_structured()) return b_.bytes(value.dump());
  std::vector<ExprId> parts;
  for (const auto& [key, element] : value.items()) {
    if (!parts.empty()) parts.push_back(comma_);
    if (value.is_object()) {
      parts.push_back(this->key(key));
      parts.push_back(colon_);
    }
    parts.push_back(literal(element));
  }
  const bool empty = parts.empty();
  const ExprId content = b_.sequence(std::move(parts));
  if (empty) return b_.bytes(value.is_object() ? "{}" : "[]");
  return value.is_object() ? braces(content, false) : brackets(content, false);
}

Grammar json_object_grammar() {
  GrammarBuilder builder;
  const JsonGrammar json(builder);
  const RuleId root = builder.declare("root");
  builder.define(root, json.object());
  return std::move(builder).finish(root);
}

}  // namespace mach::grammar
