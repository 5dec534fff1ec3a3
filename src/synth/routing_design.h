// Why a synthetic model spreads its tokens over experts as asked, by construction.
//
// The first `dims` components of the residual stream are reserved: no layer writes to them (those rows of every output
// projection are zero), so after any number of layers they still hold the token's embedding there, up to the positive
// factor of a norm. Routers read only these components. Which experts a token is sent to is therefore a function of the
// token alone, the same in every context and in both numeric modes, and whoever knows the embedding can compute it; a
// positive factor does not change an order. Of the reserved components
//   constant  are equal for all tokens: a router's weights on them act as a bias per expert, which fit_router() sets so
//             that the choices of a sample of tokens follow the wanted distribution (the balancing by bias of
//             DeepSeek-V3, here with a target that need not be flat);
//   topic     are shared by all tokens of a topic, and the head prefers tokens of the current topic, so that generated text
//             stays in a topic for some tokens and uses experts again, as text of trained models does;
//   the rest  are the token's own.
// Pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/counter_random.h"

namespace mach::synth {

struct RoutingSubspace {
  uint32_t dims = 0;  // constant, then topic, then own components
  uint32_t constant = 0;
  uint32_t topic = 0;
  uint32_t topics = 0;

  static RoutingSubspace of(uint32_t hidden_size, uint32_t vocab_size) noexcept;
};

// With how many of `top_k` choices a token takes the expert of each rank, the most popular first: proportional to
// rank^-zipf (0: all equal), none above kMostPopular (an expert cannot be chosen twice; what is cut off goes to the others in
// proportion). Sums to top_k.
inline constexpr double kMostPopular = 0.98;
std::vector<double> choice_probabilities(uint32_t experts, uint32_t top_k, double zipf);

struct RouterTarget {
  std::vector<double> probability;  // of each expert, in expert order
  uint32_t top_k = 0;
};
// The probabilities above, dealt to the experts in random order.
RouterTarget random_target(uint32_t experts, uint32_t top_k, double zipf, const CounterRandom& random);

// Router rows [experts, subspace.dims] for which the top_k of row . code, over the sample `codes` [n, subspace.dims], choose
// expert e for a share probability[e] of the tokens.
std::vector<float> fit_router(const RouterTarget& target, const RoutingSubspace& subspace,
                              std::span<const float> codes, const CounterRandom& random);

// top_k distinct experts for each token, with the target's probabilities exactly (systematic sampling): rows of a tid2eid
// table. Tokens of one topic choose alike.
void choose_by_token(const RouterTarget& target, uint32_t topic, uint64_t token, const CounterRandom& random,
                     std::span<uint32_t> chosen);

}  // namespace mach::synth
