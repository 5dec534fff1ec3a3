// Processors without a file of their own.
#include "roofline/peaks.h"
#include "roofline/peaks_generic.h"

namespace mach::roofline {

std::span<const Peaks> peaks() noexcept {
  static constexpr Peaks kPeaks[] = {
      {"generic", kNoFeatures, generic::read, generic::fp32, generic::int8, nullptr, 64, 64, 0}};
  return kPeaks;
}

}  // namespace mach::roofline
