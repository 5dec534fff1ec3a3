// What the processor and the operating system let this process use. probe_cpu_features() asks the machine and
// keeps nothing; the caller holds the result (in its kernel table). A feature whose registers the system does
// not save (XCR0) counts as absent.
#pragma once

#include <cstdint>
#include <string>

namespace mach {

struct CpuFeatures {
  uint32_t bits = 0;

  constexpr bool has(CpuFeatures wanted) const noexcept { return (bits & wanted.bits) == wanted.bits; }
  constexpr bool operator==(const CpuFeatures&) const noexcept = default;
  friend constexpr CpuFeatures operator|(CpuFeatures a, CpuFeatures b) noexcept { return {a.bits | b.bits}; }
};

inline constexpr CpuFeatures kNoFeatures{0};
inline constexpr CpuFeatures kAvx2{1U << 0};
inline constexpr CpuFeatures kFma{1U << 1};
inline constexpr CpuFeatures kF16c{1U << 2};
inline constexpr CpuFeatures kAvx512f{1U << 3};
inline constexpr CpuFeatures kAvx512bw{1U << 4};
inline constexpr CpuFeatures kAvx512vl{1U << 5};
inline constexpr CpuFeatures kAvx512dq{1U << 6};
inline constexpr CpuFeatures kAvx512vnni{1U << 7};
inline constexpr CpuFeatures kAvx512vbmi{1U << 8};
inline constexpr CpuFeatures kAvx512bf16{1U << 9};
inline constexpr CpuFeatures kAvxVnni{1U << 10};
inline constexpr CpuFeatures kNeon{1U << 16};
inline constexpr CpuFeatures kNeonDotprod{1U << 17};

CpuFeatures probe_cpu_features() noexcept;

// "avx2 fma f16c"; "none" for an empty set.
std::string to_string(CpuFeatures features);

// The x86 registers the decision rests on, so that it can be tested on any machine.
struct X86CpuId {
  uint32_t leaf1_ecx = 0;
  uint32_t leaf7_ebx = 0;
  uint32_t leaf7_ecx = 0;
  uint32_t leaf7_1_eax = 0;
  uint64_t xcr0 = 0;  // 0 where the system does not use XSAVE
};
CpuFeatures decode_x86_features(const X86CpuId& id) noexcept;

}  // namespace mach
