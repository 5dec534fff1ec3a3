// A set of texts as a deterministic automaton over characters: what a pattern, a format, a length or a list of forbidden
// words says about a string. Unlike expressions these can be intersected and complemented; string_expression() turns the
// result into one.
// Value type. Operations throw Error{kInvalidRequest} beyond kMaxCharStates states.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/grammar/char_set.h"
#include "text/grammar/grammar.h"

namespace mach::grammar {

inline constexpr size_t kMaxCharStates = 10'000;

class CharDfa {
 public:
  struct Edge {
    char32_t first, last;  // inclusive
    uint32_t to;
  };
  struct State {
    std::vector<Edge> edges;  // sorted and disjoint; a character on none of them is refused
    bool accepting = false;
  };

  explicit CharDfa(std::vector<State> states) : states_(std::move(states)) {}  // [0] is the start

  static CharDfa all();                                      // every text
  static CharDfa words(std::span<const std::string> texts);  // exactly these (UTF-8)
  static CharDfa length(uint64_t min, uint64_t max);         // characters; max may be kUnbounded
  static CharDfa containing(std::string_view text);          // every text with this in it

  CharDfa intersected(const CharDfa& other) const;
  CharDfa complement() const;
  CharDfa without(const CharDfa& other) const { return intersected(other.complement()); }

  bool accepts(std::string_view utf8) const;
  bool empty() const;  // no text at all
  const std::vector<State>& states() const { return states_; }

 private:
  std::vector<State> states_;
};

enum class StringEncoding : uint8_t {
  kRaw,   // the text as it is
  kJson,  // between the quotes of a JSON string: quotes, backslashes and control characters escaped
};

// The texts of `dfa` as an expression. JSON escapes are written in one way only (\n, else \u00xx).
ExprId string_expression(GrammarBuilder& builder, const CharDfa& dfa, StringEncoding encoding);

// The bytes by which `set` is written inside a JSON string, one way for each character.
ExprId json_characters(GrammarBuilder& builder, const CharSet& set);

}  // namespace mach::grammar
