#include "engine/token_weights.h"

#include <bit>
#include <cstddef>

namespace mach {
namespace {

constexpr double kLeast = -64;  // of powers: well below what rounds to 0
constexpr double kToWhole =
    0x1.8p52;  // added to a small number, leaves its nearest whole number in the last bits
constexpr uint64_t kLastBits = 0x7FFFFFFFFFFFF;

// Taken off before rounding to the nearest, it rounds down; a whole number, or what a last bit is missing from, stays.
constexpr double kAlmostHalf = 0.5 - 0x1p-13;

constexpr double inverse_factorial(int n) noexcept { return n == 0 ? 1.0 : inverse_factorial(n - 1) / n; }

// The Taylor series of e^y from term N on, divided by y^N. To y^11 it errs by 7e-15 for |y| <= 0.347.
template <int N>
inline double series(double y) noexcept {
  if constexpr (N == 11) {
    return inverse_factorial(11);
  } else {
    return series<N + 1>(y) * y + inverse_factorial(N);
  }
}

// 2^(x + 40), rounded down, for x <= 0. No branch and no conversion between doubles and 64-bit integers, which the
// oldest processors that this is built for do not have for vectors.
inline uint64_t weight_of_power(double x) noexcept {
  const double power = x > kLeast ? x : kLeast;
  const double shifted = power + kToWhole;
  const double whole = shifted - kToWhole;
  const double e_to_y = series<0>((power - whole) * 0.69314718055994530942);
  // 2^(40 + whole): the last bits of `shifted` are `whole` in two's complement.
  const auto scale = std::bit_cast<double>((std::bit_cast<uint64_t>(shifted) + (1023 + 40)) << 52);
  return std::bit_cast<uint64_t>((e_to_y * scale - kAlmostHalf) + kToWhole) & kLastBits;
}

}  // namespace

void token_weights(std::span<const float> logits, double top, double log2_scale,
                   std::span<uint64_t> weights) noexcept {
  for (size_t i = 0; i < logits.size(); ++i)
    weights[i] = weight_of_power((static_cast<double>(logits[i]) - top) * log2_scale);
}

}  // namespace mach
