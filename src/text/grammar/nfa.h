// Expressions as nondeterministic automata, one per rule (Thompson's construction): the step between grammar.h and
// automaton.h. Here it is decided what becomes part of its user's automaton and what stays a call:
//   - a rule is inlined where it is small, not shared, and older than the expression that names it (so never recursive);
//   - a repetition is unrolled where that is small, and otherwise becomes a rule of its own that counts its iterations.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/grammar/grammar.h"

namespace mach::grammar {

inline constexpr size_t kMaxNfaNodes = 400'000;  // of all rules together; over it: Error{kInvalidRequest}

struct NfaEdge {
  enum class Kind : uint8_t { kEpsilon, kBytes, kCall, kToken };
  Kind kind;
  uint8_t first = 0, last = 0;  // kBytes, inclusive
  uint32_t value = 0;           // kCall: index into NfaSet::rules; kToken: token id
  uint32_t to = 0;
};

struct NfaRule {
  std::string name;
  uint32_t start = 0, end = 0;
  bool counted = false;
  uint32_t min = 0, max = 0;  // iterations of a counted rule, which is entered for at least one
};

struct NfaSet {
  std::vector<std::vector<NfaEdge>> nodes;  // edges that leave each node; rules share no nodes
  std::vector<NfaRule> rules;               // [0] is the root
};

NfaSet build_nfas(const Grammar& grammar);

}  // namespace mach::grammar
