// The `grammar` field: EBNF in the dialect that GBNF made common.
//
//   # a comment
//   root   ::= greeting ", " name "!"? [ \t]*
//   name   ::= [A-Z] [a-z]{1,20} | "\u00dc" [^ \n]+
//
// A rule is NAME ::= ALTERNATIVES and may run over several lines; the next "NAME ::=" ends it. Names are letters, digits, _
// and -. "text" and [classes] know the escapes \n \r \t \\ \" \] \[ \- \xHH \uHHHH \UHHHHHHHH; "." is any character. Behind
// an item: * + ? {n} {n,} {n,m}. The text must match the rule `root` as a whole. Characters are Unicode, text is UTF-8.
// Left recursion is refused (automaton.h).
// Bounded: text, nesting, number of rules. Pure function.
#pragma once

#include <string_view>

#include "text/grammar/grammar.h"

namespace mach::grammar {

inline constexpr size_t kMaxEbnfBytes = size_t{256} << 10;
inline constexpr size_t kMaxEbnfRules = 4096;

// Throws Error{kInvalidRequest}: "grammar: line 3, column 7: ...".
Grammar parse_ebnf(std::string_view text);

}  // namespace mach::grammar
