#include "roofline/peaks_generic.h"

#include "roofline/peaks_loops.h"

namespace mach::roofline::generic {

uint64_t read(const std::byte* data, size_t bytes) {
  using Vector = uint64_t __attribute__((vector_size(16), may_alias));
  return read_all<Vector>(data, bytes);
}

float fp32(uint64_t steps) {
  float sums[64] = {};
  for (uint64_t i = 0; i < steps; ++i) {
    for (int k = 0; k < 64; ++k) sums[k] = __builtin_fmaf(sums[k], 0.999F, static_cast<float>(k));
  }
  float sum = 0.0F;
  for (const float v : sums) sum += v;
  return sum;
}

int32_t int8(uint64_t steps) {
  int32_t sums[64] = {};
  int8_t x = 3;
  for (uint64_t i = 0; i < steps; ++i) {
    __asm__ volatile("" : "+r"(x));
    for (int k = 0; k < 64; ++k) sums[k] += static_cast<int8_t>(k) * x;
  }
  int32_t sum = 0;
  for (const int32_t v : sums) sum += v;
  return sum;
}

}  // namespace mach::roofline::generic
