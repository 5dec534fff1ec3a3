// The sets a program may contain, defined in <isa>/<isa>_set.cpp. Which of them are compiled in, and in which order they
// are preferred, is decided by the one kernel_sets_<processor>.cpp that CMake picks.
#pragma once

#include "kernels/kernel_set.h"

namespace mach {

extern const KernelSet kScalarSet;
extern const KernelSet kAvx2Set;
extern const KernelSet kAvx512Set;
extern const KernelSet kAvx512Bf16Set;
extern const KernelSet kNeonSet;

}  // namespace mach
