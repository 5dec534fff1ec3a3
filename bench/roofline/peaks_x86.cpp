#include "peaks_x86.h"

#include "peaks.h"

namespace mach::roofline {

std::span<const Peaks> peaks() {
  static constexpr CpuFeatures kAvx2Features = kAvx2 | kFma;
  static constexpr CpuFeatures kAvx512Features = kAvx2Features | kAvx512f | kAvx512bw | kAvx512vnni;
  static constexpr Peaks kPeaks[] = {
      {"avx512", kAvx512Features, avx512::read, avx512::fp32, avx512::int8, 12 * 16, 12 * 64},
      {"avx2", kAvx2Features, avx2::read, avx2::fp32, avx2::int8, 12 * 8, 8 * 32},
  };
  return kPeaks;
}

}  // namespace mach::roofline
