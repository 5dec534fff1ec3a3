// The building blocks of JSON text as expressions. What they admit is a part of RFC 8259, chosen so that a model can write
// as it is used to and cannot go on forever without getting anywhere:
//   - between tokens: nothing, one space, or one line end with up to 40 spaces or 12 tabs; after a colon nothing or a
//     space; nothing before a comma or colon;
//   - numbers: at most 18 digits before and 17 after the point, two in the exponent;
//   - escaped surrogates only in pairs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "text/grammar/char_dfa.h"
#include "text/grammar/grammar.h"

namespace mach::grammar {

// How values are spelled. JSON's own way is the default; Gemma's calls write the same values with a token for the quotes,
// without escapes, spaces and quotes around plain keys.
struct ValueSpelling {
  ExprId quote;            // around strings
  std::string quote_text;  // what a string may not contain, empty if it cannot
};

class JsonGrammar {
 public:
  explicit JsonGrammar(GrammarBuilder& builder, std::optional<ValueSpelling> spelling = std::nullopt);

  ExprId space() const { return space_; }  // after an opening bracket, before a closing one
  ExprId comma() const { return comma_; }  // with the space after it
  ExprId colon() const { return colon_; }  // with the space after it
  ExprId string() const { return string_; }
  ExprId string(uint32_t min, uint32_t max);  // characters
  ExprId number() const { return number_; }
  ExprId integer() const { return integer_; }
  ExprId value() const { return value_; }    // anything
  ExprId object() const { return object_; }  // any object
  ExprId array() const { return array_; }    // any array

  ExprId quoted(const CharDfa& content);
  ExprId key(const std::string& name);                  // of an object
  ExprId literal(const nlohmann::ordered_json& value);  // this value, spelled canonically
  // "{" members "}", where `members` is not empty.
  ExprId braces(ExprId members, bool may_be_empty);
  ExprId brackets(ExprId elements, bool may_be_empty);
  ExprId members_of_any() const { return members_; }  // of any object: at least one

 private:
  ExprId enclosed(std::string_view open, ExprId content, std::string_view close, bool may_be_empty);

  ExprId in_quotes(ExprId content);

  GrammarBuilder& b_;
  const std::optional<ValueSpelling> spelling_;
  ExprId space_, comma_, colon_, character_, string_, integer_, number_, value_, object_, array_, members_;
};

// json_object mode: any object.
Grammar json_object_grammar();

}  // namespace mach::grammar
