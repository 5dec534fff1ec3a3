// A compiled grammar: a pushdown automaton over bytes. Each rule is a deterministic automaton whose edges read bytes or one
// token, or call another rule and go on where it returns. A parse is a set of configurations, each a state and a stack of
// the states to return to; configuration.h says how a byte changes them.
//
// Every state can be completed: what leads nowhere is cut off at compile time, so a parse that is not dead has an end. The
// stack is bounded by kMaxStackDepth; `height` is how much stack the cheapest completion of a state needs, and
// a configuration that could no longer be completed within the bound is not entered.
//
// A counted rule is a loop: its accepting states complete one iteration, and the number of iterations is part of the
// configuration, so {0,1000000} costs no states.
//
// Immutable, thread-safe. States of all rules share one numbering; state 0 is the dead one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "text/grammar/grammar.h"
#include "text/grammar/nfa.h"

namespace mach::grammar {

inline constexpr uint32_t kDead = 0;
inline constexpr uint32_t kMaxStackDepth = 64;
inline constexpr size_t kMaxStates = 60'000;
inline constexpr size_t kMaxTableBytes = size_t{48} << 20;
inline constexpr uint64_t kMaxSubsetWork = 60'000'000;  // NFA edges looked at by the subset construction

class Automaton {
 public:
  struct Call {
    uint32_t rule;
    uint32_t return_state;
  };
  struct TokenEdge {
    TokenId id;
    uint32_t target;
  };
  struct RuleInfo {
    uint32_t start = kDead;
    bool counted = false;
    uint32_t min = 0, max = 0;
  };

  // Throws Error{kInvalidRequest} for left recursion, a grammar that matches nothing, and one over a limit.
  static Automaton compile(const Grammar& grammar);

  uint32_t next(uint32_t state, uint8_t byte) const {
    return table_[static_cast<size_t>(state) * classes_ + byte_class_[byte]];
  }
  // No calls and no end: entering it changes nothing but the state.
  bool simple(uint32_t state) const { return states_[state].simple; }
  bool accepting(uint32_t state) const { return states_[state].accepting; }
  // Accepting, and nothing else: to return here is to return at once.
  bool returns_only(uint32_t state) const { return states_[state].returns_only; }
  uint32_t height(uint32_t state) const { return states_[state].height; }
  uint32_t max_height() const { return max_height_; }  // of all states
  const RuleInfo& rule_of(uint32_t state) const { return rules_[states_[state].rule]; }
  const RuleInfo& rule(uint32_t rule) const { return rules_[rule]; }
  std::span<const Call> calls(uint32_t state) const {
    return std::span(calls_).subspan(states_[state].first_call, states_[state].calls);
  }
  std::span<const TokenEdge> token_edges(uint32_t state) const {
    return std::span(tokens_).subspan(states_[state].first_token, states_[state].tokens);
  }
  uint32_t root_start() const { return rules_[0].start; }
  size_t states() const { return states_.size(); }
  size_t memory_bytes() const;

 private:
  friend class Determinizer;
  struct State {
    uint32_t rule = 0;
    uint32_t first_call = 0, calls = 0;
    uint32_t first_token = 0, tokens = 0;
    uint32_t height = 0;
    bool accepting = false, simple = false, returns_only = false;
  };

  Automaton() = default;
  void trim();
  void refuse_left_recursion(const NfaSet& nfas) const;

  std::vector<State> states_;
  std::vector<RuleInfo> rules_;
  std::vector<Call> calls_;
  std::vector<TokenEdge> tokens_;
  std::vector<uint32_t> table_;  // [state][byte class]
  std::array<uint8_t, 256> byte_class_{};
  size_t classes_ = 0;
  uint32_t max_height_ = 0;
};

}  // namespace mach::grammar
