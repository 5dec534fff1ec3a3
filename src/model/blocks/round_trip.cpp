#include "model/blocks/round_trip.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "quant/small_floats.h"

namespace mach {
namespace {

constexpr float kSmallestMagnitude = 1e-4F;  // below it FP8 scales stop shrinking
constexpr float kLargestE4m3 = 448.0F;
constexpr float kLargestE2m1 = 6.0F;
constexpr uint32_t kFp4Block = 32;

float largest_magnitude(std::span<const float> values) noexcept {
  float largest = 0.0F;
  for (const float value : values) largest = std::max(largest, std::fabs(value));
  return largest;
}

// The smallest power of two that is not below `value`.
float power_of_two_above(float value) noexcept {
  int exponent = 0;
  const float fraction = std::frexp(value, &exponent);  // value = fraction * 2^exponent, fraction in [0.5, 1)
  return std::ldexp(1.0F, fraction == 0.5F ? exponent - 1 : exponent);
}

}  // namespace

void fp8_round_trip(std::span<float> values, uint32_t block) noexcept {
  for (size_t begin = 0; begin < values.size(); begin += block) {
    const auto part = values.subspan(begin, std::min<size_t>(block, values.size() - begin));
    const float scale =
        power_of_two_above(std::max(largest_magnitude(part), kSmallestMagnitude) / kLargestE4m3);
    for (float& value : part) value = scale * e4m3_to_f32(f32_to_e4m3(value / scale));
  }
}

void fp4_round_trip(std::span<float> values) noexcept {
  for (size_t begin = 0; begin < values.size(); begin += kFp4Block) {
    const auto part = values.subspan(begin, std::min<size_t>(kFp4Block, values.size() - begin));
    const float largest = largest_magnitude(part);
    if (largest == 0.0F) continue;
    const float scale = power_of_two_above(largest / kLargestE2m1);
    for (float& value : part) value = scale * e2m1_to_f32(f32_to_e2m1(value / scale));
  }
}

void hadamard(std::span<float> values) noexcept {
  const size_t n = values.size();
  if (!std::has_single_bit(n)) return;
  for (size_t half = 1; half < n; half *= 2) {
    for (size_t begin = 0; begin < n; begin += 2 * half) {
      for (size_t i = begin; i < begin + half; ++i) {
        const float a = values[i];
        const float b = values[i + half];
        values[i] = a + b;
        values[i + half] = a - b;
      }
    }
  }
  const float scale = 1.0F / std::sqrt(static_cast<float>(n));
  for (float& value : values) value *= scale;
}

}  // namespace mach
