#include "base/cpu_features.h"

namespace mach {

CpuFeatures probe_cpu_features() noexcept { return kNoFeatures; }

}  // namespace mach
