#include "arch/rope_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mach {
namespace {

constexpr double kPi = std::numbers::pi;

// Where the ramp of YaRN begins and ends, as indices of frequencies. c(r) is the index whose wave turns r times within
// the original context.
struct YarnRamp {
  double low, high;
  explicit YarnRamp(const RopeConfig& rope) noexcept {
    const double dims = rope.rotary_dims;
    const auto index_of_turns = [&](double turns) {
      return dims * std::log(rope.original_max_position / (2.0 * kPi * turns)) / (2.0 * std::log(rope.theta));
    };
    low = index_of_turns(rope.beta_fast);
    high = index_of_turns(rope.beta_slow);
    if (rope.truncate) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, dims - 1.0);
    if (low == high) high += 0.001;
  }
  double at(double i) const { return std::clamp((i - low) / (high - low), 0.0, 1.0); }
};

double llama3_frequency(const RopeConfig& rope, double plain) {
  const double wavelength = 2.0 * kPi / plain;
  const double original = rope.original_max_position;
  if (wavelength < original / rope.high_freq_factor) return plain;
  if (wavelength > original / rope.low_freq_factor) return plain / rope.factor;
  const double smooth =
      (original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return (1.0 - smooth) * plain / rope.factor + smooth * plain;
}

double scaled_frequency(const RopeConfig& rope, size_t i) {
  const double plain = std::pow(rope.theta, -2.0 * static_cast<double>(i) / rope.rotary_dims);
  switch (rope.type) {
    case RopeType::kDefault:
      return plain;
    case RopeType::kLinear:
      return plain / rope.factor;
    case RopeType::kYarn: {
      const double interpolated = YarnRamp(rope).at(static_cast<double>(i));
      return plain / rope.factor * interpolated + plain * (1.0 - interpolated);
    }
    case RopeType::kLlama3:
      return llama3_frequency(rope, plain);
    case RopeType::kProportional:
      return i < rope.active ? plain / rope.factor : 0.0;
  }
  return plain;
}

}  // namespace

std::vector<float> rope_inverse_frequencies(const RopeConfig& rope) {
  std::vector<float> frequencies(rope.rotary_dims / 2);
  for (size_t i = 0; i < frequencies.size(); ++i)
    frequencies[i] = static_cast<float>(scaled_frequency(rope, i));
  return frequencies;
}

}  // namespace mach
