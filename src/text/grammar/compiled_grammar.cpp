#include "text/grammar/compiled_grammar.h"

#include <algorithm>
#include <utility>

namespace mach::grammar {

std::shared_ptr<const CompiledGrammar> CompiledGrammar::compile(
    const Grammar& grammar, std::shared_ptr<const TokenVocabulary> vocabulary) {
  return std::shared_ptr<const CompiledGrammar>(
      new CompiledGrammar(Automaton::compile(grammar), std::move(vocabulary)));
}

CompiledGrammar::CompiledGrammar(Automaton automaton, std::shared_ptr<const TokenVocabulary> vocabulary)
    : automaton_(std::move(automaton)), vocabulary_(std::move(vocabulary)), masks_(automaton_.states()) {}

CompiledGrammar::~CompiledGrammar() {
  for (const auto& mask : masks_) delete mask.load();
}

const StateMask& CompiledGrammar::state_mask(uint32_t state, StateMask& scratch) const {
  if (const StateMask* known = masks_[state].load(std::memory_order_acquire)) return *known;
  StateMask mask = compute_state_mask(automaton_, *vocabulary_, state);
  const size_t bytes = mask.memory_bytes();
  if (mask_bytes_.fetch_add(bytes) + bytes > kMaxMaskBytes) {
    mask_bytes_.fetch_sub(bytes);
    scratch = std::move(mask);
    return scratch;
  }
  auto owned = std::make_unique<const StateMask>(std::move(mask));
  const StateMask* expected = nullptr;
  if (masks_[state].compare_exchange_strong(expected, owned.get(), std::memory_order_acq_rel)) {
    return *owned.release();
  }
  mask_bytes_.fetch_sub(bytes);
  return *expected;
}

size_t CompiledGrammar::cached_masks() const {
  return static_cast<size_t>(
      std::count_if(masks_.begin(), masks_.end(), [](const auto& m) { return m.load() != nullptr; }));
}

}  // namespace mach::grammar
