// The subset construction: turns the rules of an NfaSet into the states of an Automaton. Pure epsilon nodes are left out of
// the subsets, so that ways which differ only in where they came from meet in one state.
#pragma once

#include "text/grammar/automaton.h"
#include "text/grammar/nfa.h"

namespace mach::grammar {

class Determinizer {
 public:
  // Fills everything but heights. Throws Error{kInvalidRequest} over a limit of automaton.h.
  static Automaton run(const NfaSet& nfas);
};

}  // namespace mach::grammar
