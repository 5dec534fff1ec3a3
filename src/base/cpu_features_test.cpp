#include "base/cpu_features.h"

#include <gtest/gtest.h>

namespace mach {
namespace {

// Register contents of an Intel Ice Lake server, reduced to the bits that matter.
X86CpuId ice_lake() {
  X86CpuId id;
  id.leaf1_ecx = (1U << 12) | (1U << 27) | (1U << 28) | (1U << 29);
  id.leaf7_ebx = (1U << 5) | (1U << 16) | (1U << 17) | (1U << 30) | (1U << 31);
  id.leaf7_ecx = (1U << 1) | (1U << 11);
  id.xcr0 = 0xe7;
  return id;
}

TEST(CpuFeatures, DecodesAnAvx512Machine) {
  EXPECT_EQ(to_string(decode_x86_features(ice_lake())),
            "avx2 fma f16c avx512f avx512bw avx512vl avx512dq avx512vnni avx512vbmi");
}

TEST(CpuFeatures, DecodesTheSecondSubleaf) {
  X86CpuId id = ice_lake();
  id.leaf7_1_eax = (1U << 4) | (1U << 5);
  EXPECT_TRUE(decode_x86_features(id).has(kAvxVnni | kAvx512bf16));
}

TEST(CpuFeatures, WithoutSavedZmmRegistersThereIsNoAvx512) {
  X86CpuId id = ice_lake();
  id.xcr0 = 0x07;
  EXPECT_EQ(decode_x86_features(id), kAvx2 | kFma | kF16c);
}

TEST(CpuFeatures, WithoutSavedYmmRegistersThereIsNothing) {
  X86CpuId id = ice_lake();
  id.xcr0 = 0;
  EXPECT_EQ(decode_x86_features(id), kNoFeatures);
  id.xcr0 = 0xe1;  // ZMM without YMM is no state a system sets
  EXPECT_EQ(decode_x86_features(id), kNoFeatures);
}

TEST(CpuFeatures, WithoutAvxThereIsNothing) {
  X86CpuId id = ice_lake();
  id.leaf1_ecx &= ~(1U << 28);
  EXPECT_EQ(decode_x86_features(id), kNoFeatures);
}

TEST(CpuFeatures, EveryMachineHasTheEmptySet) {
  EXPECT_TRUE(kNoFeatures.has(kNoFeatures));
  EXPECT_FALSE(kNoFeatures.has(kAvx2));
  EXPECT_FALSE(kAvx2.has(kAvx2 | kFma));
  EXPECT_EQ(to_string(kNoFeatures), "none");
}

TEST(CpuFeatures, ProbeAgreesWithTheCompilersOwn) {
#if defined(__x86_64__)
  const CpuFeatures found = probe_cpu_features();
  EXPECT_EQ(found.has(kAvx2), __builtin_cpu_supports("avx2") != 0);
  EXPECT_EQ(found.has(kFma), __builtin_cpu_supports("fma") != 0);
  EXPECT_EQ(found.has(kAvx512f), __builtin_cpu_supports("avx512f") != 0);
  EXPECT_EQ(found.has(kAvx512bw), __builtin_cpu_supports("avx512bw") != 0);
  EXPECT_EQ(found.has(kAvx512vnni), __builtin_cpu_supports("avx512vnni") != 0);
  EXPECT_EQ(found.has(kAvx512vbmi), __builtin_cpu_supports("avx512vbmi") != 0);
#else
  GTEST_SKIP() << "the compiler's probe is used on x86-64 only";
#endif
}

}  // namespace
}  // namespace mach
