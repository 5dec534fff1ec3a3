#include "text/grammar/state_mask.h"

#include <algorithm>

#include "text/grammar/token_walk.h"

namespace mach::grammar {
namespace {

constexpr uint32_t kMostIterations = 127;  // tokens that take more are left to the real stack
constexpr size_t kFewTokens = 512;

// Iterations of the counted rule at the bottom of the stack, over all ways to read the token the least.
uint32_t iterations_needed(const ConfigurationSet& end, const StackPool& pool) {
  uint32_t least = end.escaped ? end.escape_count : kUnbounded;
  for (const Configuration& c : end.items) {
    uint32_t count = c.count;
    for (uint32_t stack = c.stack; stack != kUnknownStack; stack = pool[stack].parent)
      count = pool[stack].count;
    least = std::min(least, count + 1);
  }
  return least;
}

}  // namespace

StateMask compute_state_mask(const Automaton& automaton, const TokenVocabulary& vocabulary, uint32_t state) {
  const bool counted = automaton.rule_of(state).counted;
  StateMask mask;
  StackPool pool;
  TokenWalk walk(automaton, pool, counted);
  walk.begin({state, 0, kUnknownStack});
  const auto tokens = vocabulary.sorted();
  std::vector<uint32_t> bits(vocabulary.mask_words());
  std::vector<StateMask::Need> needs(tokens.size());
  size_t sure = 0;
  uint32_t unsure_prefix = 0;
  for (uint32_t i = 0; i < tokens.size(); ++i) {
    const TokenVocabulary::Token& token = tokens[i];
    unsure_prefix = std::min<uint32_t>(unsure_prefix, token.common_prefix);
    const bool read = walk.read(vocabulary.bytes(token), token.common_prefix);
    const uint32_t needed = read && counted ? iterations_needed(walk.end(), pool) : 0;
    if (read && needed <= kMostIterations) {
      bits[static_cast<size_t>(token.id) / 32] |= 1U << (token.id % 32);
      needs[i].iterations = static_cast<uint8_t>(needed) & kMostIterations;
      needs[i].may_leave = walk.escaped_inside() ? 1 : 0;
      if (++sure <= kFewTokens) mask.few.push_back({i, needs[i]});
      mask.most_iterations = std::max(mask.most_iterations, needed);
    } else if (read || walk.escaped_inside()) {
      mask.unsure.push_back({i, unsure_prefix});
      unsure_prefix = token.length;
    }
  }
  mask.deepest = pool.deepest();
  if (sure > kFewTokens) {
    mask.few.clear();
    mask.bits = std::move(bits);
    if (counted) mask.needs = std::move(needs);
  }
  mask.few.shrink_to_fit();
  mask.unsure.shrink_to_fit();
  return mask;
}

}  // namespace mach::grammar
