#include <sys/auxv.h>

#include "base/cpu_features.h"

namespace mach {

CpuFeatures probe_cpu_features() noexcept {
  constexpr unsigned long kHwcapAsimd = 1UL << 1;  // arch/arm64/include/uapi/asm/hwcap.h
  constexpr unsigned long kHwcapAsimdDp = 1UL << 20;
  const unsigned long hwcap = ::getauxval(AT_HWCAP);
  CpuFeatures found;
  if ((hwcap & kHwcapAsimd) != 0) found = found | kNeon;
  if ((hwcap & kHwcapAsimdDp) != 0) found = found | kNeonDotprod;
  return found;
}

}  // namespace mach
