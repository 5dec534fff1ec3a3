// What the vocabulary looks like from one state of an automaton, whatever the stack below it: the part of a token mask that
// is computed once. (The division into tokens that the stack cannot change and tokens it can is that of XGrammar,
// arXiv 2411.15100; so is the name of the idea, context-independent tokens.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "text/grammar/automaton.h"
#include "text/grammar/token_vocabulary.h"

namespace mach::grammar {

struct StateMask {
  // A token that leaves the state's rule before its end: the stack decides.
  struct Unsure {
    uint32_t position;       // in TokenVocabulary::sorted()
    uint32_t common_prefix;  // with the entry before
  };
  // How a token is read within the rule. Of a counted rule: the iterations that this takes, the begun one included, and
  // whether it could also be read by leaving the rule earlier. 0 of a counted rule: not at all.
  struct Need {
    uint8_t iterations : 7 = 0;
    uint8_t may_leave : 1 = 0;
  };
  struct Sure {
    uint32_t position;
    Need need;
  };

  // The sure tokens, either few by position, or many as a mask over ids and, of a counted rule, the needs by position.
  std::vector<Sure> few;
  std::vector<uint32_t> bits;
  std::vector<Need> needs;
  std::vector<Unsure> unsure;
  uint32_t most_iterations = 0;
  uint32_t deepest = 0;  // stack used while reading

  size_t memory_bytes() const {
    return sizeof(*this) + bits.capacity() * sizeof(uint32_t) + few.capacity() * sizeof(Sure) +
           needs.capacity() + unsure.capacity() * sizeof(Unsure);
  }
};

StateMask compute_state_mask(const Automaton& automaton, const TokenVocabulary& vocabulary, uint32_t state);

}  // namespace mach::grammar
