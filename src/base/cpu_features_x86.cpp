#include <cpuid.h>

#include "base/cpu_features.h"

namespace mach {
namespace {

// As an asm statement: the intrinsic would need -mxsave for the whole file.
uint64_t read_xcr0() noexcept {
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

}  // namespace

CpuFeatures probe_cpu_features() noexcept {
  constexpr uint32_t kOsxsaveBit = 1U << 27;
  X86CpuId id;
  uint32_t a = 0;
  uint32_t b = 0;
  uint32_t c = 0;
  uint32_t d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return kNoFeatures;
  id.leaf1_ecx = c;
  if ((c & kOsxsaveBit) != 0) id.xcr0 = read_xcr0();
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) {
    const uint32_t last_subleaf = a;
    id.leaf7_ebx = b;
    id.leaf7_ecx = c;
    if (last_subleaf >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) id.leaf7_1_eax = a;
  }
  return decode_x86_features(id);
}

}  // namespace mach
