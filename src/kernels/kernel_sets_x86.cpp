#include "kernels/kernel_set.h"
#include "kernels/kernel_set_rows.h"

namespace mach {

std::span<const KernelSet* const> kernel_sets() noexcept {
  static constexpr const KernelSet* kSets[] = {&kAvx512Bf16Set, &kAvx512Set, &kAvx2Set, &kScalarSet};
  return kSets;
}

}  // namespace mach
