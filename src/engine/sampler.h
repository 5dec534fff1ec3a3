// Chooses the next token of one sequence from the logits of its last one.
//
// The parameters act in this order (Hugging Face's order of processors, OpenAI's meaning of penalties):
//   1. repetition penalty over prompt and generated tokens, then presence and frequency penalty over
//   generated ones
//   2. logit bias
//   3. what may not be chosen: suppressed tokens, tokens that the allowed-mask lacks, ids past the
//   tokenizer's
//      vocabulary (checkpoints pad their embedding; a padding row may well have the largest logit)
//   4. temperature 0: the largest logit, the smaller id on a tie
//   5. otherwise temperature, top-k, top-p, min-p, and one draw
//
// Reproducible: probabilities become integers (2^-40 of the likeliest token's; smaller ones count as 0), by
// arithmetic that does not depend on the C library, and the draw is number accepted() of the seed. Equal seed
// and equal logits give equal tokens on every machine. Selection is O(vocabulary), never a full sort.
//
// Single owner.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "mach/session.h"

#include "base/counter_random.h"
#include "engine/sampling_params.h"

namespace mach {

// Bit i % 32 of word i / 32 says that id i is allowed; ids past its end are not. Empty: every id is allowed.
using TokenMask = std::span<const uint32_t>;

struct TokenLogprob {
  TokenId id = 0;
  float logprob = 0;  // natural log of the model's own probability: before penalties, bias and temperature
};

struct SampledToken {
  TokenId id = 0;
  float logprob = 0;              // set only when SamplingParams::logprobs is
  std::vector<TokenLogprob> top;  // likeliest first; as many as SamplingParams::logprobs asks for
};

class Sampler {
 public:
  // Ids from `vocabulary` on are never chosen. Throws what validate() throws.
  Sampler(const SamplingParams& params, uint32_t vocabulary);

  // Tokens of the prompt, for the repetition penalty.
  void accept_prompt(std::span<const TokenId> tokens);

  // Does not change what the next call returns: accept() does. logits: at least `vocabulary` fp32.
  // Throws Error{kInternal} for NaN or +inf logits, Error{kInvalidRequest} when no token is left to choose.
  SampledToken sample(std::span<const float> logits, TokenMask allowed = {});

  // The sequence goes on with this token (the sampled one, or one that a draft or a grammar forced).
  void accept(TokenId id);
  uint64_t accepted() const noexcept { return accepted_; }

 private:
  struct Candidate {
    uint64_t weight;  // engine/token_weights.h
    TokenId id;
  };

  void penalise();
  void forbid(TokenMask allowed);
  TokenId draw(TokenId likeliest);
  // The candidates: all tokens whose weight is not 0, or those that top-k may keep.
  void find_all(double top, double log2_scale);
  bool find_top_k(double top, double log2_scale);
  Candidate last_kept() const;
  void add_logprobs(std::span<const float> logits, SampledToken& token) const;

  const SamplingParams params_;
  const uint32_t vocabulary_;
  const bool penalties_;
  const CounterRandom random_;
  uint64_t accepted_ = 0;
  std::unordered_map<TokenId, uint32_t> generated_;  // occurrences; a token of the prompt alone stands at 0
  std::vector<float> adjusted_;                      // the logits after steps 1 to 3
  std::vector<Candidate> candidates_;                // in id order
  std::vector<uint64_t> weights_;                    // scratch, like the next two
  std::vector<float> maxima_;
  std::vector<float> few_;
};

}  // namespace mach
