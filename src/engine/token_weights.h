// Probabilities of tokens as whole numbers: 2^-40 of the likeliest one's. Only additions, multiplications and shifts of IEEE
// doubles, one token like the other: exp() of the C library differs in the last bit between libraries and processors, and the
// same seed must give the same text.
#pragma once

#include <cstdint>
#include <span>

namespace mach {

inline constexpr double kTokenWeightOne = 1099511627776.0;  // 2^40: a sum over 2^24 tokens stays below 2^64

// weights[i] = floor(2^((logits[i] - top) * log2_scale + 40)), give or take one; logits[i] <= top, both finite, or -inf for a
// weight of 0. log2_scale = log2(e) / temperature. As many weights as logits.
void token_weights(std::span<const float> logits, double top, double log2_scale,
                   std::span<uint64_t> weights) noexcept;

}  // namespace mach
