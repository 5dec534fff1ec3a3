#include "engine/token_weights.h"

#include <array>
#include <bit>
#include <cstddef>

namespace mach {
namespace {

// 1 / n! for n = 0 ... 11.
constexpr std::array<double, 12> kInverseFactorials = [] {
  std::array<double, 12> table{1};
  for (size_t n = 1; n < table.size(); ++n) table[n] = table[n - 1] / static_cast<double>(n);
  return table;
}();

constexpr double kLeast = -64;              // of powers: well below what rounds to 0
constexpr double kToWhole = 0x1.8p52;       // added to a small number, leaves its nearest whole number in the last bits
constexpr double kTwoTo52 = 0x1p52;         // the same for whole numbers from 0 on
constexpr uint64_t kMantissa = 0xFFFFFFFFFFFFF;

// 2^(x + 40), rounded down, for x <= 0. No branch and no conversion between doubles and 64-bit integers, which the
// oldest processors that this is built for do not have for vectors.
inline uint64_t weight_of_power(double x) noexcept {
  const double power = x > kLeast ? x : kLeast;
  const double shifted = power + kToWhole;
  const double whole = shifted - kToWhole;
  const double y = (power - whole) * 0.69314718055994530942;
  double e_to_y = kInverseFactorials[11];  // |y| <= 0.347: the Taylor series to y^11 errs by 7e-15
#pragma GCC unroll 12
  for (size_t n = kInverseFactorials.size() - 1; n-- > 0;) e_to_y = e_to_y * y + kInverseFactorials[n];
  // 2^(40 + whole): the last bits of `shifted` are `whole` in two's complement.
  const auto scale = std::bit_cast<double>((std::bit_cast<uint64_t>(shifted) + (1023 + 40)) << 52);
  const double weight = e_to_y * scale;
  const double rounded = (weight + kTwoTo52) - kTwoTo52;
  const double below = rounded > weight ? rounded - 1.0 : rounded;
  return std::bit_cast<uint64_t>(below + kTwoTo52) & kMantissa;
}

}  // namespace

void token_weights(std::span<const float> logits, double top, double log2_scale,
                   std::span<uint64_t> weights) noexcept {
  for (size_t i = 0; i < logits.size(); ++i)
    weights[i] = weight_of_power((static_cast<double>(logits[i]) - top) * log2_scale);
}

}  // namespace mach
