#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/block_maxima.h"
#include "engine/token_weights.h"

namespace mach {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

constexpr size_t kWeightBits = 41;  // of the largest weight, 2^40

// Weights from here on differ between logits that differ by kLogitStep times the temperature.
constexpr uint64_t kFineWeight = uint64_t{1} << 20;
constexpr double kLogitStep = 1e-5;

// The largest logit, the smaller id on a tie. NaN and +inf mean a broken model or file; they must not become
// text.
TokenId largest(std::span<const float> logits, std::vector<float>& maxima) {
  maxima.resize(maxima_count(logits.size()));
  find_block_maxima(logits, maxima);
  bool sound = true;
  for (const float logit : logits) sound &= logit < std::numeric_limits<float>::infinity();
  if (sound) {
    const auto block = static_cast<size_t>(std::max_element(maxima.begin(), maxima.end()) - maxima.begin());
    const auto first = logits.begin() + static_cast<std::ptrdiff_t>(block * kMaximaBlock);
    return static_cast<TokenId>(std::find(first, logits.end(), maxima[block]) - logits.begin());
  }
  const auto bad = std::find_if(logits.begin(), logits.end(), [](float x) { return !(x < INFINITY); });
  throw Error(ErrorCode::kInternal,
              fmt::format("logits: token {} is {}, every logit must be finite", bad - logits.begin(), *bad));
}

}  // namespace

Sampler::Sampler(const SamplingParams& params, uint32_t vocabulary)
    : params_(params),
      vocabulary_(vocabulary),
      penalties_(params.repetition_penalty != 1 || params.presence_penalty != 0 ||
                 params.frequency_penalty != 0),
      random_(params.seed) {
  if (vocabulary == 0) throw Error(ErrorCode::kInternal, "sampler: the vocabulary is empty");
  validate(params, vocabulary);
}

void Sampler::accept_prompt(std::span<const TokenId> tokens) {
  if (params_.repetition_penalty == 1) return;
  for (const TokenId id : tokens) generated_.try_emplace(id, 0);
}

void Sampler::accept(TokenId id) {
  ++accepted_;
  if (penalties_) ++generated_[id];
}

SampledToken Sampler::sample(std::span<const float> logits, TokenMask allowed) {
  if (logits.size() < vocabulary_) {
    throw Error(ErrorCode::kInternal,
                fmt::format("sampler: {} logits for a vocabulary of {}", logits.size(), vocabulary_));
  }
  logits = logits.first(vocabulary_);
  SampledToken token;
  token.id = largest(logits, maxima_);

  const bool adjusts =
      penalties_ || !params_.logit_bias.empty() || !params_.suppressed.empty() || !allowed.empty();
  if (adjusts || params_.temperature > 0) adjusted_.assign(logits.begin(), logits.end());
  if (adjusts) {
    penalise();
    for (const LogitBias& entry : params_.logit_bias) adjusted_[static_cast<size_t>(entry.id)] += entry.bias;
    forbid(allowed);
    token.id = largest(adjusted_, maxima_);
    if (adjusted_[static_cast<size_t>(token.id)] == kForbidden) {
      throw Error(ErrorCode::kInvalidRequest,
                  "sampling: the grammar and suppress_tokens leave no token to choose");
    }
  }
  if (params_.temperature > 0) token.id = draw(token.id);
  if (params_.logprobs) add_logprobs(logits, token);
  return token;
}

void Sampler::penalise() {
  if (!penalties_) return;
  for (const auto& [id, count] : generated_) {
    if (id < 0 || static_cast<uint32_t>(id) >= vocabulary_) continue;
    float& logit = adjusted_[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
    if (count > 0) logit -= params_.presence_penalty + static_cast<float>(count) * params_.frequency_penalty;
  }
}

void Sampler::forbid(TokenMask allowed) {
  if (!allowed.empty()) {
    for (size_t i = 0; i < adjusted_.size(); ++i) {
      const bool set = i / 32 < allowed.size() && ((allowed[i / 32] >> (i % 32)) & 1) != 0;
      if (!set) adjusted_[i] = kForbidden;
    }
  }
  for (const TokenId id : params_.suppressed) adjusted_[static_cast<size_t>(id)] = kForbidden;
}

TokenId Sampler::draw(TokenId likeliest) {
  const double top = adjusted_[static_cast<size_t>(likeliest)];
  const double log2_scale = 1.44269504088896340736 / static_cast<double>(params_.temperature);
  if (!find_top_k(top, log2_scale)) find_all(top, log2_scale);

  const Candidate last = last_kept();
  const auto least = static_cast<uint64_t>(std::ceil(static_cast<double>(params_.min_p) * kTokenWeightOne));
  const auto is_kept = [&](const Candidate& c) {
    return c.weight >= least && (c.weight > last.weight || (c.weight == last.weight && c.id <= last.id));
  };
  uint64_t total = 0;
  for (const Candidate& c : candidates_) total += is_kept(c) ? c.weight : 0;
  uint64_t rest = random_.below(total, accepted_);
  for (const Candidate& c : candidates_) {
    if (!is_kept(c)) continue;
    if (rest < c.weight) return c.id;
    rest -= c.weight;
  }
  return likeliest;  // not reached: rest < total
}

void Sampler::find_all(double top, double log2_scale) {
  weights_.resize(adjusted_.size());
  token_weights(adjusted_, top, log2_scale, weights_);
  candidates_.clear();
  for (size_t i = 0; i < weights_.size(); ++i) {
    if (weights_[i] > 0) candidates_.push_back({weights_[i], static_cast<TokenId>(i)});
  }
}

// With top-k few logits matter: those of the k-th largest and above, and whatever has the weight of the k-th. Gives up where
// weights are so small that it cannot tell.
bool Sampler::find_top_k(double top, double log2_scale) {
  const size_t blocks = maxima_count(adjusted_.size());
  if (params_.top_k == 0 || params_.top_k > blocks / 2) return false;
  maxima_.resize(2 * blocks);
  const std::span<float> maxima(maxima_.data(), blocks);
  const std::span<float> sorted(maxima_.data() + blocks, blocks);
  find_block_maxima(adjusted_, maxima);
  std::copy(maxima.begin(), maxima.end(), sorted.begin());
  const float bound = kth_largest(sorted, params_.top_k);
  uint64_t weight = 0;
  token_weights({&bound, 1}, top, log2_scale, {&weight, 1});
  if (weight < kFineWeight) return false;

  const auto least =
      static_cast<float>(static_cast<double>(bound) - kLogitStep * static_cast<double>(params_.temperature));
  few_.clear();
  candidates_.clear();
  for (size_t b = 0; b < blocks; ++b) {
    if (maxima[b] < least) continue;
    const size_t end = std::min((b + 1) * kMaximaBlock, adjusted_.size());
    for (size_t i = b * kMaximaBlock; i < end; ++i) {
      if (!(adjusted_[i] >= least)) continue;
      few_.push_back(adjusted_[i]);
      candidates_.push_back({0, static_cast<TokenId>(i)});
    }
  }
  weights_.resize(few_.size());
  token_weights(few_, top, log2_scale, weights_);
  for (size_t i = 0; i < candidates_.size(); ++i) candidates_[i].weight = weights_[i];
  return true;
}

// The least likely candidate that top-k and top-p keep. Works on a copy, so that the draw goes through the
// candidates in id order whatever order the library's selection leaves behind.
Sampler::Candidate Sampler::last_kept() const {
  const auto likelier = [](const Candidate& a, const Candidate& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
  };
  const bool cuts_k = params_.top_k > 0 && params_.top_k < candidates_.size();
  if (!cuts_k && params_.top_p >= 1) return {0, 0};
  std::vector<Candidate> kept = candidates_;
  if (cuts_k) {
    const auto last = kept.begin() + (params_.top_k - 1);
    std::nth_element(kept.begin(), last, kept.end(), likelier);
    kept.resize(params_.top_k);
    if (params_.top_p >= 1) return kept.back();
  }

  // By powers of two first: only those of one power hold the boundary.
  std::array<uint64_t, kWeightBits + 1> mass{};
  for (const Candidate& c : kept) mass[static_cast<size_t>(std::bit_width(c.weight))] += c.weight;
  const uint64_t total = std::accumulate(mass.begin(), mass.end(), uint64_t{0});
  auto wanted =
      static_cast<uint64_t>(std::ceil(static_cast<double>(params_.top_p) * static_cast<double>(total)));
  size_t bits = kWeightBits;
  for (; bits > 1 && mass[bits] < wanted; --bits) wanted -= mass[bits];
  std::erase_if(kept,
                [&](const Candidate& c) { return static_cast<size_t>(std::bit_width(c.weight)) != bits; });

  // Halve the range that holds it: each step looks at half as many candidates as the one before.
  auto first = kept.begin();
  auto end = kept.end();
  while (end - first > 1) {
    const auto middle = first + (end - first) / 2;
    std::nth_element(first, middle, end, likelier);
    uint64_t upper = 0;
    for (auto it = first; it != middle; ++it) upper += it->weight;
    if (upper >= wanted) {
      end = middle;
    } else {
      wanted -= upper;
      first = middle;
    }
  }
  return *first;
}

void Sampler::add_logprobs(std::span<const float> logits, SampledToken& token) const {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  const double log_total = top + std::log(sum);
  const auto logprob = [&](TokenId id) {
    return static_cast<float>(static_cast<double>(logits[static_cast<size_t>(id)]) - log_total);
  };
  token.logprob = logprob(token.id);

  const size_t wanted = std::min<size_t>(*params_.logprobs, logits.size());
  if (wanted == 0) return;
  std::vector<TokenId> ids(logits.size());
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i);
  const auto likelier = [&](TokenId a, TokenId b) {
    const float x = logits[static_cast<size_t>(a)];
    const float y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  const auto end = ids.begin() + static_cast<std::ptrdiff_t>(wanted);
  std::partial_sort(ids.begin(), end, ids.end(), likelier);
  token.top.reserve(wanted);
  for (auto it = ids.begin(); it != end; ++it) token.top.push_back({*it, logprob(*it)});
}

}  // namespace mach
