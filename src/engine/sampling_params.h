// How the next token is chosen, as a request or a generation_config.json states it. A plain value; the names
// are those of the OpenAI API and of Hugging Face's generation configuration, and so are the meanings (see
// sampler.h for the order in which they act).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "mach/session.h"

namespace mach {

struct LogitBias {
  TokenId id = 0;
  float bias = 0;  // added to the logit; -100 or less in effect forbids, 100 or more in effect forces
};

struct SamplingParams {
  float temperature = 0;         // 0: greedy, the other distribution parameters are then without effect
  uint32_t top_k = 0;            // keep the k likeliest tokens; 0: all
  float top_p = 1;               // keep the smallest set of likeliest tokens with at least this mass; 1: all
  float min_p = 0;               // drop tokens less likely than this share of the likeliest one; 0: none
  float repetition_penalty = 1;  // over prompt and generated text: positive logits / r, negative * r
  float presence_penalty = 0;    // subtracted once from tokens that were generated
  float frequency_penalty = 0;   // subtracted per occurrence in the generated text
  std::vector<LogitBias> logit_bias;
  std::vector<TokenId> suppressed;  // never chosen
  uint64_t seed = 0;                // same seed, same logits: same tokens, on every machine

  // Log-probabilities to report: absent none, 0 the chosen token's, n also those of the n likeliest.
  std::optional<uint32_t> logprobs;
};

inline constexpr float kMaxTemperature = 100;  // beyond, every distribution is uniform
inline constexpr uint32_t kMaxLogprobs = 128;
inline constexpr size_t kMaxLogitBiases = 4096;

// Throws Error{kInvalidRequest} naming the field, its value and its range. `vocab_size` bounds the ids.
void validate(const SamplingParams& params, uint32_t vocab_size);

}  // namespace mach
