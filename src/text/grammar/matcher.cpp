#include "text/grammar/matcher.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/utf8.h"
#include "text/grammar/token_walk.h"

namespace mach::grammar {
namespace {

constexpr size_t kKnownMasks = 4;
constexpr size_t kCleanEvery = 4096;  // stack nodes

bool is_set(std::span<const uint32_t> mask, TokenId id) {
  return ((mask[static_cast<size_t>(id) / 32] >> (id % 32)) & 1) != 0;
}

void set(std::span<uint32_t> mask, TokenId id) { mask[static_cast<size_t>(id) / 32] |= 1U << (id % 32); }

}  // namespace

GrammarMatcher::GrammarMatcher(std::shared_ptr<const CompiledGrammar> grammar)
    : grammar_(std::move(grammar)) {
  Step start;
  const Automaton& automaton = grammar_->automaton();
  Stepper(automaton, pool_).add(automaton.root_start(), 0, kBottom, start.set);
  history_.push_back(std::move(start));
}

void GrammarMatcher::take(Step step) {
  history_.push_back(std::move(step));
  if (history_.size() > kMaxRollback + 1) history_.pop_front();
  if (pool_.size() > 2 * live_nodes_ + kCleanEvery) drop_unused_stacks();
}

bool GrammarMatcher::accept(TokenId id) {
  if (now().terminated) return false;
  Step next;
  Stepper(grammar_->automaton(), pool_).token(now().set.items, id, next.set);
  const TokenVocabulary& vocabulary = grammar_->vocabulary();
  if (!next.set.dead()) {
    take(std::move(next));
    return true;
  }
  if (vocabulary.is_stop(id) && now().set.complete) {
    next.set.complete = true;
    next.terminated = true;
    take(std::move(next));
    return true;
  }
  const std::string_view text = vocabulary.text(id);
  return !text.empty() && accept_text(text);
}

bool GrammarMatcher::accept_text(std::string_view bytes) {
  if (now().terminated) return false;
  const Stepper stepper(grammar_->automaton(), pool_);
  Step at;
  at.set = now().set;
  for (const char c : bytes) {
    Step next;
    stepper.byte(at.set.items, static_cast<uint8_t>(c), next.set);
    if (next.set.dead()) return false;
    at = std::move(next);
  }
  take(std::move(at));
  return true;
}

bool GrammarMatcher::must_stop() const {
  if (now().terminated) return true;
  if (!now().set.complete) return false;
  const Automaton& automaton = grammar_->automaton();
  return std::all_of(now().set.items.begin(), now().set.items.end(), [&](const Configuration& c) {
    if (!automaton.token_edges(c.state).empty()) return false;
    for (unsigned byte = 0; byte < 256; ++byte) {
      if (automaton.next(c.state, static_cast<uint8_t>(byte)) != kDead) return false;
    }
    return true;
  });
}

void GrammarMatcher::rollback(size_t steps) {
  if (steps > steps_kept()) {
    throw Error(ErrorCode::kInternal,
                fmt::format("grammar: cannot take back {} tokens, {} are remembered", steps, steps_kept()));
  }
  history_.resize(history_.size() - steps);
}

void GrammarMatcher::fill_mask(std::span<uint32_t> mask) {
  const size_t words = grammar_->vocabulary().mask_words();
  if (mask.size() < words) {
    throw Error(ErrorCode::kInternal,
                fmt::format("grammar: a mask of {} words, {} needed", mask.size(), words));
  }
  std::fill(mask.begin() + static_cast<std::ptrdiff_t>(words), mask.end(), 0U);
  mask = mask.first(words);
  if (now().terminated) {
    std::fill(mask.begin(), mask.end(), 0U);
    return;
  }
  const ConfigurationSet& at = now().set;
  const auto known = std::find_if(known_masks_.begin(), known_masks_.end(), [&](const KnownMask& k) {
    return k.set.complete == at.complete && k.set.items == at.items;
  });
  if (known != known_masks_.end()) {
    std::copy(known->bits.begin(), known->bits.end(), mask.begin());
    return;
  }
  std::fill(mask.begin(), mask.end(), 0U);
  compute_mask(mask);
  if (known_masks_.size() >= kKnownMasks) {
    std::rotate(known_masks_.begin(), known_masks_.begin() + 1, known_masks_.end());
    known_masks_.back().set = at;
    known_masks_.back().bits.assign(mask.begin(), mask.end());
  } else {
    known_masks_.push_back({at, {mask.begin(), mask.end()}});
  }
}

void GrammarMatcher::compute_mask(std::span<uint32_t> mask) {
  const ConfigurationSet& at = now().set;
  for (const Configuration& c : at.items) add_tokens_of(c, mask);
  if (!at.complete) return;
  for (const TokenId id : grammar_->vocabulary().stop_ids()) set(mask, id);
}

void GrammarMatcher::add_tokens_of(const Configuration& c, std::span<uint32_t> mask) {
  const Automaton& automaton = grammar_->automaton();
  const TokenVocabulary& vocabulary = grammar_->vocabulary();
  const auto tokens = vocabulary.sorted();
  for (const Automaton::TokenEdge& edge : automaton.token_edges(c.state)) {
    const bool fits = pool_.depth(c.stack) + automaton.height(edge.target) <= kMaxStackDepth;
    if (fits && edge.id >= 0 && static_cast<size_t>(edge.id) < vocabulary.size()) set(mask, edge.id);
  }

  StateMask scratch;
  const StateMask& known = grammar_->state_mask(c.state, scratch);
  std::vector<StateMask::Unsure> tried;
  const uint32_t spare = kMaxStackDepth - pool_.depth(c.stack);
  if (known.deepest + automaton.max_height() > spare) {
    // So near the limit of the stack the cached mask may allow what does not fit.
    for (uint32_t i = 0; i < tokens.size(); ++i) tried.push_back({i, tokens[i].common_prefix});
    add_tried(c, tried, mask);
    return;
  }

  const Automaton::RuleInfo& rule = automaton.rule_of(c.state);
  const uint32_t left = !rule.counted || rule.max == kUnbounded ? kUnbounded : rule.max - c.count;
  for (const StateMask::Sure& sure : known.few) {
    if (sure.need.iterations <= left) set(mask, tokens[sure.position].id);
  }
  if (known.most_iterations <= left) {
    for (size_t i = 0; i < known.bits.size(); ++i) mask[i] |= known.bits[i];
  } else {
    for (size_t i = 0; i < known.needs.size(); ++i) {
      const uint32_t needed = known.needs[i].iterations;
      if (needed != 0 && needed <= left) set(mask, tokens[i].id);
    }
  }
  add_tried(c, known.unsure, mask);

  // Tokens with more characters than the string may still have can yet be allowed, by ending it in between.
  if (known.most_iterations <= left) return;
  uint32_t prefix = 0;
  const auto consider = [&](uint32_t position, StateMask::Need need) {
    if (need.iterations <= left || need.may_leave == 0) return;
    tried.push_back({position, prefix});
    prefix = tokens[position].length;
  };
  for (uint32_t i = 0; i < known.needs.size(); ++i) {
    prefix = std::min<uint32_t>(prefix, tokens[i].common_prefix);
    consider(i, known.needs[i]);
  }
  for (const StateMask::Sure& sure : known.few) {
    prefix = 0;  // few, so nothing is gained by looking for it
    consider(sure.position, sure.need);
  }
  add_tried(c, tried, mask);
}

void GrammarMatcher::add_tried(const Configuration& c, std::span<const StateMask::Unsure> tokens,
                               std::span<uint32_t> mask) {
  if (tokens.empty()) return;
  const TokenVocabulary& vocabulary = grammar_->vocabulary();
  TokenWalk walk(grammar_->automaton(), pool_);
  walk.begin(c);
  // A token that is allowed already is not read; what the next one shares with it may then not have been read either.
  size_t common = 0;
  for (const StateMask::Unsure& unsure : tokens) {
    const TokenVocabulary::Token& token = vocabulary.sorted()[unsure.position];
    common = std::min<size_t>(common, unsure.common_prefix);
    if (is_set(mask, token.id)) continue;
    if (walk.read(vocabulary.bytes(token), common)) set(mask, token.id);
    common = token.length;
  }
  walk.finish();
}

std::string GrammarMatcher::forced_text(size_t limit) {
  const Automaton& automaton = grammar_->automaton();
  const Stepper stepper(automaton, pool_);
  std::string forced;
  ConfigurationSet at = now().set;
  while (forced.size() < limit && !at.complete && !now().terminated) {
    int only = -1;
    bool choice = false;
    for (const Configuration& c : at.items) {
      if (!automaton.token_edges(c.state).empty()) choice = true;
      for (int byte = 0; byte < 256 && !choice; ++byte) {
        if (automaton.next(c.state, static_cast<uint8_t>(byte)) == kDead) continue;
        choice = only >= 0 && only != byte;
        only = byte;
      }
    }
    if (choice || only < 0) break;
    ConfigurationSet next;
    stepper.byte(at.items, static_cast<uint8_t>(only), next);
    if (next.dead()) break;
    forced += static_cast<char>(only);
    at = std::move(next);
  }
  forced.resize(complete_utf8_prefix(forced));
  return forced;
}

// Copies the stacks that are still on some step into a fresh pool.
void GrammarMatcher::drop_unused_stacks() {
  StackPool fresh;
  std::unordered_map<uint32_t, uint32_t> moved = {{kBottom, kBottom}};
  std::vector<uint32_t> path;
  const auto move_stack = [&](uint32_t stack) {
    while (!moved.contains(stack)) {
      path.push_back(stack);
      stack = pool_[stack].parent;
    }
    uint32_t parent = moved[stack];
    for (; !path.empty(); path.pop_back()) {
      const StackPool::Node& node = pool_[path.back()];
      parent = fresh.push(node.state, node.count, parent);
      moved[path.back()] = parent;
    }
    return parent;
  };
  for (Step& step : history_) {
    for (Configuration& c : step.set.items) c.stack = move_stack(c.stack);
  }
  known_masks_.clear();
  pool_ = std::move(fresh);
  live_nodes_ = pool_.size();
}

size_t GrammarMatcher::memory_bytes() const {
  size_t bytes = sizeof(*this) + pool_.memory_bytes();
  for (const Step& step : history_) bytes += sizeof(step) + step.set.items.capacity() * sizeof(Configuration);
  for (const KnownMask& known : known_masks_) bytes += known.bits.capacity() * sizeof(uint32_t);
  return bytes;
}

}  // namespace mach::grammar
