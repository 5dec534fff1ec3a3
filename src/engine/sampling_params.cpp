#include "engine/sampling_params.h"

#include <array>
#include <limits>
#include <string_view>

#include <fmt/format.h>

#include "mach/error.h"

namespace mach {
namespace {

struct RangeRow {
  std::string_view field;
  float SamplingParams::*member;
  float low, high;
  bool low_open;
};

// OpenAI allows penalties in [-2, 2]; temperature there ends at 2, which here would only refuse what works.
constexpr std::array kRanges = {
    RangeRow{"temperature", &SamplingParams::temperature, 0, kMaxTemperature, false},
    RangeRow{"top_p", &SamplingParams::top_p, 0, 1, false},
    RangeRow{"min_p", &SamplingParams::min_p, 0, 1, false},
    RangeRow{"repetition_penalty", &SamplingParams::repetition_penalty, 0, 100, true},
    RangeRow{"presence_penalty", &SamplingParams::presence_penalty, -2, 2, false},
    RangeRow{"frequency_penalty", &SamplingParams::frequency_penalty, -2, 2, false},
};

void check_id(std::string_view field, TokenId id, uint32_t vocab_size) {
  if (id >= 0 && static_cast<uint32_t>(id) < vocab_size) return;
  throw Error(ErrorCode::kInvalidRequest,
              fmt::format("{}: token id {} is outside the vocabulary [0, {})", field, id, vocab_size));
}

}  // namespace

void validate(const SamplingParams& params, uint32_t vocab_size) {
  for (const RangeRow& row : kRanges) {
    const float value = params.*row.member;
    const bool above_low = row.low_open ? value > row.low : value >= row.low;
    if (above_low && value <= row.high) continue;  // false for NaN
    throw Error(ErrorCode::kInvalidRequest, fmt::format("{}: {} is outside {}{}, {}]", row.field, value,
                                                        row.low_open ? '(' : '[', row.low, row.high));
  }
  if (params.logit_bias.size() > kMaxLogitBiases) {
    throw Error(ErrorCode::kInvalidRequest, fmt::format("logit_bias: {} entries, at most {} are allowed",
                                                        params.logit_bias.size(), kMaxLogitBiases));
  }
  for (const LogitBias& entry : params.logit_bias) {
    check_id("logit_bias", entry.id, vocab_size);
    if (entry.bias >= -100 && entry.bias <= 100) continue;
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("logit_bias: {} for token {} is outside [-100, 100]", entry.bias, entry.id));
  }
  for (const TokenId id : params.suppressed) check_id("suppress_tokens", id, vocab_size);
  if (params.logprobs && *params.logprobs > kMaxLogprobs) {
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("logprobs: {} is more than {}", *params.logprobs, kMaxLogprobs));
  }
}

}  // namespace mach
