// The second term of int8 activations and their sums as plain loops, for sets without instructions of their own for them:
// compilers vectorise these. Internal linkage, because the files that include this are compiled for different instruction
// sets. What they compute is said at RefineInt8 and TotalInt8 (kernel_types.h).
#pragma once

#include <cstdint>

namespace mach {
namespace {

inline void refine_int8_loop(const float* x, uint32_t n, const int8_t* values, const float* scales,
                             int8_t* low) noexcept {
  // Adding it leaves whole numbers: a rounding to nearest even that vectorises everywhere.
  constexpr float kToNearest = 0x1.8p23F;
  const uint32_t padded = (n + 63) / 64 * 64;
  for (uint32_t begin = 0; begin < padded; begin += 32) {
    for (uint32_t k = begin; k < begin + 32; ++k) low[k] = 0;
    const float scale = scales[begin / 32];
    if (begin >= n || !(scale > 0.0F)) continue;  // nothing there, or not a number
    const uint32_t end = n - begin < 32 ? n : begin + 32;
    const float steps = 256.0F / scale;
    for (uint32_t k = begin; k < end; ++k) {
      float rest = (x[k] - scale * static_cast<float>(values[k])) * steps;
      rest = rest < -127.0F ? -127.0F : rest;
      rest = rest > 127.0F ? 127.0F : rest;
      low[k] = static_cast<int8_t>((rest + kToNearest) - kToNearest);
    }
  }
}

inline void total_int8_loop(const int8_t* values, const int8_t* low, uint32_t n, int32_t* totals) noexcept {
  for (uint32_t g = 0; g < n / 16; ++g) {
    int32_t high_sum = 0;
    int32_t low_sum = 0;
    for (uint32_t k = 16 * g; k < 16 * g + 16; ++k) high_sum += values[k];
    if (low != nullptr) {
      for (uint32_t k = 16 * g; k < 16 * g + 16; ++k) low_sum += low[k];
      high_sum *= 256;
    }
    totals[g] = high_sum + low_sum;
  }
}

}  // namespace
}  // namespace mach
