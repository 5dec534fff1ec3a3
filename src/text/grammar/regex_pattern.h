// The regular expressions of JSON Schema's `pattern` (ECMA-262) as automata, by the book: a search anywhere in the text, so
// that "a" admits every text with an a in it; ^ and $ stand for the ends of the whole text.
// Not enforceable, hence refused: look-around, back references, word boundaries, Unicode properties, flags.
// Bounded: text, nesting, repetition counts and states. Pure functions.
#pragma once

#include <string_view>

#include "text/grammar/char_dfa.h"

namespace mach::grammar {

// Throws Error{kInvalidRequest}; the message says what is wrong and where in the pattern, but not in which schema.
CharDfa compile_pattern(std::string_view pattern);

}  // namespace mach::grammar
