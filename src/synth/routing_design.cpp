#include "synth/routing_design.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace mach::synth {
namespace {

constexpr uint32_t kMaxDims = 64;
constexpr uint32_t kMaxTopics = 64;
constexpr uint32_t kTokensPerTopic = 128;  // at least
constexpr int kRounds = 40;
constexpr double kFirstStep = 0.7;  // of a router's bias per unit of log-odds

double uniform(const CounterRandom& random, uint64_t index) {
  return (static_cast<double>(random.at(index) >> 11) + 0.5) * 0x1p-53;
}

double log_odds(double p) { return std::log(p / (1.0 - p)); }

std::vector<uint32_t> permutation(uint32_t count, const CounterRandom& random, uint64_t first) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0U);
  for (uint32_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.below(i, first + i)]);
  return order;
}

// How often each expert is among the top_k of logits + bias.
void count_choices(std::span<const float> logits, std::span<const float> bias, uint32_t top_k,
                   std::span<uint32_t> counts) {
  const size_t experts = bias.size();
  std::vector<float> scores(experts), order(experts);
  std::fill(counts.begin(), counts.end(), 0U);
  for (size_t first = 0; first < logits.size(); first += experts) {
    for (size_t e = 0; e < experts; ++e) scores[e] = logits[first + e] + bias[e];
    order = scores;
    std::nth_element(order.begin(), order.begin() + (top_k - 1), order.end(), std::greater<>());
    const float last = order[top_k - 1];
    for (size_t e = 0; e < experts; ++e) counts[e] += scores[e] >= last ? 1 : 0;
  }
}

}  // namespace

RoutingSubspace RoutingSubspace::of(uint32_t hidden_size, uint32_t vocab_size) noexcept {
  RoutingSubspace s;
  s.dims = std::min(kMaxDims, hidden_size / 4 / 16 * 16);
  s.constant = s.dims / 8;
  s.topic = s.dims / 2 - s.constant;
  s.topics = std::clamp(vocab_size / kTokensPerTopic, 2U, kMaxTopics);
  return s;
}

std::vector<double> choice_probabilities(uint32_t experts, uint32_t top_k, double zipf) {
  std::vector<double> p(experts);
  if (top_k >= experts) {
    std::fill(p.begin(), p.end(), 1.0);
    return p;
  }
  for (uint32_t rank = 0; rank < experts; ++rank) p[rank] = std::pow(rank + 1.0, -zipf);
  // Those at the limit are the first `full`; the others share what they leave.
  for (uint32_t full = 0;; ++full) {
    const double rest = std::accumulate(p.begin() + full, p.end(), 0.0);
    const double factor = (top_k - full * kMostPopular) / rest;
    if (p[full] * factor > kMostPopular) continue;
    std::fill_n(p.begin(), full, kMostPopular);
    for (uint32_t rank = full; rank < experts; ++rank) p[rank] *= factor;
    return p;
  }
}

RouterTarget random_target(uint32_t experts, uint32_t top_k, double zipf, const CounterRandom& random) {
  const std::vector<double> by_rank = choice_probabilities(experts, top_k, zipf);
  const std::vector<uint32_t> order = permutation(experts, random, 0);
  RouterTarget target{.probability = std::vector<double>(experts), .top_k = top_k};
  for (uint32_t rank = 0; rank < experts; ++rank) target.probability[order[rank]] = by_rank[rank];
  return target;
}

std::vector<float> fit_router(const RouterTarget& target, const RoutingSubspace& subspace,
                              std::span<const float> codes, const CounterRandom& random) {
  const auto experts = static_cast<uint32_t>(target.probability.size());
  const uint32_t dims = subspace.dims;
  const size_t tokens = codes.size() / dims;

  double power = 0.0;  // of a free component
  for (size_t i = 0; i < codes.size(); ++i) {
    if (i % dims >= subspace.constant) power += double{codes[i]} * codes[i];
  }
  const double free_dims = dims - subspace.constant;
  const double deviation = std::sqrt(power / (static_cast<double>(tokens) * free_dims));
  std::vector<float> rows(size_t{experts} * dims);
  for (size_t i = 0; i < rows.size(); ++i) {  // logits of variance 1
    if (i % dims < subspace.constant) continue;
    const double signed_unit = (2.0 * uniform(random, i) - 1.0) * std::sqrt(3.0);
    rows[i] = static_cast<float>(signed_unit / (deviation * std::sqrt(free_dims)));
  }
  if (target.top_k >= experts) return rows;

  std::vector<float> logits(tokens * experts);
  for (size_t t = 0; t < tokens; ++t) {
    for (uint32_t e = 0; e < experts; ++e) {
      logits[t * experts + e] =
          std::inner_product(&codes[t * dims], &codes[t * dims] + dims, &rows[size_t{e} * dims], 0.0F);
    }
  }
  std::vector<float> bias(experts);
  std::vector<uint32_t> counts(experts);
  const double seen = static_cast<double>(tokens);
  for (int round = 0; round < kRounds; ++round) {
    count_choices(logits, bias, target.top_k, counts);
    const double step = kFirstStep * (1.0 - static_cast<double>(round) / (kRounds + 1));
    for (uint32_t e = 0; e < experts; ++e) {
      const double measured = std::clamp<double>(counts[e], 0.5, seen - 0.5) / seen;
      bias[e] += static_cast<float>(step * (log_odds(target.probability[e]) - log_odds(measured)));
    }
  }
  // A bias common to all experts chooses nothing; without it the weights stay small.
  const float mean = std::accumulate(bias.begin(), bias.end(), 0.0F) / static_cast<float>(experts);
  float constants = 0.0F;
  for (uint32_t i = 0; i < subspace.constant; ++i) constants += codes[i];
  for (uint32_t e = 0; e < experts; ++e) {
    std::fill_n(&rows[size_t{e} * dims], subspace.constant, (bias[e] - mean) / constants);
  }
  return rows;
}

void choose_by_token(const RouterTarget& target, uint32_t topic, uint64_t token, const CounterRandom& random,
                     std::span<uint32_t> chosen) {
  const auto experts = static_cast<uint32_t>(target.probability.size());
  const std::vector<uint32_t> order = permutation(experts, random, uint64_t{topic} * (experts + 1) + 1);
  // Marks at u, u + 1, ... on the line of probabilities laid end to end; none is longer than 1.
  double next = uniform(random, (uint64_t{1} << 40) + token);
  double end = 0.0;
  size_t count = 0;
  for (const uint32_t e : order) {
    end += target.probability[e];
    if (end <= next || count == chosen.size()) continue;
    chosen[count++] = e;
    next += 1.0;
  }
  // Rounding of the sum can hide the last mark.
  for (auto e = order.rbegin(); count < chosen.size(); ++e) {
    if (std::find(chosen.begin(), chosen.begin() + static_cast<ptrdiff_t>(count), *e) ==
        chosen.begin() + static_cast<ptrdiff_t>(count))
      chosen[count++] = *e;
  }
}

}  // namespace mach::synth
