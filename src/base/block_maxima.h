// The few largest of many numbers without looking at each twice: the largest of every block of 64 first. At least k values reach
// the k-th largest of these maxima, so the k largest values do, and a block whose maximum is below holds none of them.
// Pure functions. A NaN never counts as large.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>

namespace mach {

inline constexpr size_t kMaximaBlock = 64;
constexpr size_t maxima_count(size_t values) noexcept { return (values + kMaximaBlock - 1) / kMaximaBlock; }

// maxima [maxima_count(values.size())]; -inf for a block of NaN.
inline void find_block_maxima(std::span<const float> values, std::span<float> maxima) noexcept {
  constexpr size_t kLanes = 16;  // side by side, which compilers turn into vector instructions
  const auto larger = [](float a, float b) { return a > b ? a : b; };
  for (size_t b = 0; b < maxima.size(); ++b) {
    const auto block =
        values.subspan(b * kMaximaBlock, std::min(kMaximaBlock, values.size() - b * kMaximaBlock));
    float lanes[kLanes];
    std::fill_n(lanes, kLanes, -std::numeric_limits<float>::infinity());
    size_t i = 0;
    for (; i + kLanes <= block.size(); i += kLanes) {
      for (size_t k = 0; k < kLanes; ++k) lanes[k] = larger(block[i + k], lanes[k]);
    }
    for (; i < block.size(); ++i) lanes[0] = larger(block[i], lanes[0]);
    maxima[b] = *std::max_element(lanes, lanes + kLanes);
  }
}

// The k-th largest; 1 <= k <= maxima.size(). Leaves them in another order.
inline float kth_largest(std::span<float> maxima, size_t k) noexcept {
  const auto at = maxima.begin() + static_cast<std::ptrdiff_t>(k - 1);
  std::nth_element(maxima.begin(), at, maxima.end(), std::greater<>());
  return *at;
}

}  // namespace mach
