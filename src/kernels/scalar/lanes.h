// The fixed order of every sum: 16 lanes, element i into lane i mod 16 in increasing i, then a tree. It is what two AVX2
// registers, one AVX-512 register or four NEON registers do naturally.
#pragma once

#include <cmath>
#include <cstdint>

namespace mach::scalar {

class Lanes {
 public:
  static constexpr uint32_t kCount = 16;

  void multiply_add(uint32_t i, float a, float b) noexcept {
    lane_[i % kCount] = std::fma(a, b, lane_[i % kCount]);
  }
  void add(uint32_t i, float a) noexcept { lane_[i % kCount] += a; }

  // Elements from n up to the next multiple of 16 count as zeros. (Adding zero changes a lane only if it is -0.)
  void pad(uint32_t n) noexcept {
    for (uint32_t i = n; i % kCount != 0; ++i) lane_[i % kCount] += 0.0F;
  }

  float sum() const noexcept {
    float lane[kCount];
    for (uint32_t i = 0; i < kCount; ++i) lane[i] = lane_[i];
    for (uint32_t width = kCount / 2; width != 0; width /= 2) {
      for (uint32_t i = 0; i < width; ++i) lane[i] += lane[i + width];
    }
    return lane[0];
  }

 private:
  float lane_[kCount] = {};
};

}  // namespace mach::scalar
