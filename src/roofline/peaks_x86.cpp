#include "roofline/peaks_x86.h"

#include "roofline/peaks.h"
#include "roofline/peaks_generic.h"

namespace mach::roofline {

std::span<const Peaks> peaks() noexcept {
  static constexpr CpuFeatures kAvx2Features = kAvx2 | kFma;
  static constexpr CpuFeatures kAvx512Features = kAvx2Features | kAvx512f | kAvx512bw | kAvx512vnni;
  static constexpr Peaks kPeaks[] = {
      {"avx512bf16", kAvx512Features | kAvx512bf16, avx512::read, avx512::fp32, avx512::int8,
       avx512bf16::bf16, 12 * 16, 12 * 64, 12 * 32},
      {"avx512", kAvx512Features, avx512::read, avx512::fp32, avx512::int8, nullptr, 12 * 16, 12 * 64, 0},
      {"avx2", kAvx2Features, avx2::read, avx2::fp32, avx2::int8, nullptr, 12 * 8, 8 * 32, 0},
      {"generic", kNoFeatures, generic::read, generic::fp32, generic::int8, nullptr, 64, 64, 0},
  };
  return kPeaks;
}

}  // namespace mach::roofline
