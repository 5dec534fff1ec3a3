// A grammar ready to constrain a model's tokens: automaton, vocabulary, and the masks of its states as far as they have been
// needed. Compiled once, shared by all requests that use it.
// Thread-safe. A mask is computed outside the lock by whoever needs it first; two threads may do the same work once.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "text/grammar/automaton.h"
#include "text/grammar/state_mask.h"
#include "text/grammar/token_vocabulary.h"

namespace mach::grammar {

inline constexpr size_t kMaxMaskBytes = size_t{64} << 20;  // kept per grammar; more are computed each time

class CompiledGrammar {
 public:
  // Throws what Automaton::compile() throws.
  static std::shared_ptr<const CompiledGrammar> compile(const Grammar& grammar,
                                                        std::shared_ptr<const TokenVocabulary> vocabulary);
  ~CompiledGrammar();

  const Automaton& automaton() const { return automaton_; }
  const TokenVocabulary& vocabulary() const { return *vocabulary_; }

  // Valid as long as the grammar, or, where `scratch` was used, as long as that.
  const StateMask& state_mask(uint32_t state, StateMask& scratch) const;

  size_t memory_bytes() const { return automaton_.memory_bytes() + mask_bytes_.load(); }
  size_t cached_masks() const;

 private:
  CompiledGrammar(Automaton automaton, std::shared_ptr<const TokenVocabulary> vocabulary);

  const Automaton automaton_;
  const std::shared_ptr<const TokenVocabulary> vocabulary_;
  mutable std::vector<std::atomic<const StateMask*>> masks_;  // by state; owned
  mutable std::atomic<size_t> mask_bytes_ = 0;
};

}  // namespace mach::grammar
