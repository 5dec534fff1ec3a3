// A GrammarMatcher follows one generated text through a grammar, token by token, and says which tokens may come next.
// Cheap to copy (its parse and its history are a few kilobytes), and it can take tokens back: for speculation and for
// several candidates of one step.
// Single owner. The compiled grammar is shared.
//
// Cost: a mask is the cached masks of the current states, plus a check of the tokens that leave the innermost rule; it is
// remembered, so a state that stays the same (the middle of a string) costs a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/grammar/compiled_grammar.h"
#include "text/grammar/configuration.h"

namespace mach::grammar {

inline constexpr size_t kMaxRollback = 1024;  // tokens that are remembered

class GrammarMatcher {
 public:
  explicit GrammarMatcher(std::shared_ptr<const CompiledGrammar> grammar);

  // The text goes on with this token. False, and nothing changed, if the grammar forbids it. A stop token ends a text that
  // may end here; after it nothing is accepted.
  bool accept(TokenId id);

  // The same for text that is no single token. Counts as one step for rollback().
  bool accept_text(std::string_view bytes);

  // Sets bit id % 32 of word id / 32 for every token that accept() would take, and clears the others.
  // mask: at least vocabulary().mask_words() words; words beyond are cleared.
  void fill_mask(std::span<uint32_t> mask);

  bool can_stop() const { return now().set.complete; }  // the text so far is one of the grammar
  bool terminated() const { return now().terminated; }  // a stop token was accepted
  // The text is complete and nothing but a stop token can follow.
  bool must_stop() const;

  // Takes back the last steps. Throws Error{kInternal} for more than were taken, or more than kMaxRollback.
  void rollback(size_t steps);
  size_t steps_kept() const { return history_.size() - 1; }

  // The bytes that every continuation begins with, at most `limit`; empty where there is a choice or the text may end. Never
  // cuts a character apart.
  std::string forced_text(size_t limit = 256);

  const CompiledGrammar& grammar() const { return *grammar_; }
  size_t memory_bytes() const;

 private:
  struct Step {
    ConfigurationSet set;
    bool terminated = false;
  };
  struct KnownMask {
    ConfigurationSet set;
    std::vector<uint32_t> bits;
  };

  const Step& now() const { return history_.back(); }
  void take(Step step);
  void compute_mask(std::span<uint32_t> mask);
  void add_tokens_of(const Configuration& c, std::span<uint32_t> mask);
  void add_tried(const Configuration& c, std::span<const StateMask::Unsure> tokens, std::span<uint32_t> mask);
  void drop_unused_stacks();

  std::shared_ptr<const CompiledGrammar> grammar_;
  StackPool pool_;
  size_t live_nodes_ = 0;               // of pool_, at the last cleaning
  std::deque<Step> history_;            // the last is where the text stands; at most kMaxRollback before it
  std::vector<KnownMask> known_masks_;  // the latest last
};

}  // namespace mach::grammar
