#include "base/cpu_features.h"

#include <string_view>

namespace mach {
namespace {

struct FeatureName {
  CpuFeatures feature;
  std::string_view name;
};

constexpr FeatureName kNames[] = {
    {kAvx2, "avx2"},
    {kFma, "fma"},
    {kF16c, "f16c"},
    {kAvx512f, "avx512f"},
    {kAvx512bw, "avx512bw"},
    {kAvx512vl, "avx512vl"},
    {kAvx512dq, "avx512dq"},
    {kAvx512vnni, "avx512vnni"},
    {kAvx512vbmi, "avx512vbmi"},
    {kAvx512bf16, "avx512bf16"},
    {kAvxVnni, "avxvnni"},
    {kNeon, "neon"},
    {kNeonDotprod, "dotprod"},
};

// State components the system must save (Intel SDM volume 1, 13.1): XMM and YMM; for AVX-512 also masks and
// ZMM.
constexpr uint64_t kXcr0Ymm = 0x06;
constexpr uint64_t kXcr0Zmm = 0xe6;

enum Word : uint8_t { kLeaf1Ecx, kLeaf7Ebx, kLeaf7Ecx, kLeaf7Sub1Eax };

struct X86Row {
  CpuFeatures feature;
  Word word;
  uint8_t bit;
  uint64_t xcr0;
};

// Intel SDM volume 2, CPUID.
constexpr X86Row kX86Rows[] = {
    {kFma, kLeaf1Ecx, 12, kXcr0Ymm},           {kF16c, kLeaf1Ecx, 29, kXcr0Ymm},
    {kAvx2, kLeaf7Ebx, 5, kXcr0Ymm},           {kAvx512f, kLeaf7Ebx, 16, kXcr0Zmm},
    {kAvx512dq, kLeaf7Ebx, 17, kXcr0Zmm},      {kAvx512bw, kLeaf7Ebx, 30, kXcr0Zmm},
    {kAvx512vl, kLeaf7Ebx, 31, kXcr0Zmm},      {kAvx512vbmi, kLeaf7Ecx, 1, kXcr0Zmm},
    {kAvx512vnni, kLeaf7Ecx, 11, kXcr0Zmm},    {kAvxVnni, kLeaf7Sub1Eax, 4, kXcr0Ymm},
    {kAvx512bf16, kLeaf7Sub1Eax, 5, kXcr0Zmm},
};

constexpr uint32_t kAvxBit = 1U << 28;  // of leaf 1 ECX; everything above rests on it

}  // namespace

CpuFeatures decode_x86_features(const X86CpuId& id) noexcept {
  const uint32_t words[] = {id.leaf1_ecx, id.leaf7_ebx, id.leaf7_ecx, id.leaf7_1_eax};
  CpuFeatures found;
  if ((id.leaf1_ecx & kAvxBit) == 0) return found;
  for (const X86Row& row : kX86Rows) {
    const bool present = ((words[row.word] >> row.bit) & 1U) != 0;
    if (present && (id.xcr0 & row.xcr0) == row.xcr0) found = found | row.feature;
  }
  return found;
}

std::string to_string(CpuFeatures features) {
  std::string text;
  for (const FeatureName& row : kNames) {
    if (!features.has(row.feature)) continue;
    if (!text.empty()) text += ' ';
    text += row.name;
  }
  return text.empty() ? "none" : text;
}

}  // namespace mach
