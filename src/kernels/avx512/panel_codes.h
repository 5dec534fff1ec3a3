// What distinguishes the codecs of panel order (quant/panel_layout.h) for products in int8: how a line of codes becomes
// unsigned bytes, what the sums begin with, and how 16 scales are read. Internal linkage throughout.
#pragma once

#include "kernels/avx512/unpack.h"

namespace mach::avx512 {
namespace {

// Field `Field` of a line of Bits-wide codes, as bytes.
template <uint32_t Bits, uint32_t Field>
__m512i field(__m512i line) noexcept {
  if constexpr (Bits == 8) {
    return line;
  } else {
    const __m512i mask = _mm512_set1_epi8((1 << Bits) - 1);
    return _mm512_and_si512(Field == 0 ? line : _mm512_srli_epi16(line, Bits * Field), mask);
  }
}

// kUnit: inputs whose products are summed as integers before scales apply. kOffset: what every code is above its value.
template <uint32_t BitsPerCode, uint32_t Unit>
struct Affine {
  static constexpr uint32_t kBits = BitsPerCode;
  static constexpr uint32_t kUnit = Unit;
  static constexpr bool kBiased = true;
  static constexpr int32_t kOffset = 0;
  static constexpr float kScale = 1.0F;
  template <uint32_t Field>
  static __m512i codes(__m512i line) noexcept {
    return field<kBits, Field>(line);
  }
};

// E2M1 codes as 2 * value + 12 in [0, 24].
template <uint32_t Unit>
struct Fp4 {
  static constexpr uint32_t kBits = 4;
  static constexpr uint32_t kUnit = Unit;
  static constexpr bool kBiased = false;
  static constexpr int32_t kOffset = 12;
  static constexpr float kScale = 0.5F;
  template <uint32_t Field>
  static __m512i codes(__m512i line) noexcept {
    const __m512i table =
        _mm512_broadcast_i32x4(_mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    return _mm512_shuffle_epi8(table, field<4, Field>(line));
  }
};

// Inlined by force: a call in the middle of a tile would spill all its sums.
[[gnu::always_inline]] inline __m512 load_scales(ScaleType type, const std::byte* p) noexcept {
  switch (type) {
    case ScaleType::kBF16:
      return BF16::load(p);
    case ScaleType::kF16:
      return F16::load(p);
    case ScaleType::kE8M0:
      return widen_e8m0(load16(p));
    case ScaleType::kE4M3:
      return widen_e4m3(load16(p));
    case ScaleType::kF32:
    case ScaleType::kNone:
      break;
  }
  return F32::load(p);
}

}  // namespace
}  // namespace mach::avx512
