// Codes and scales out of their planes: 32 codes as bytes in element order, rows of scales as fp32. No load reaches beyond
// the codes asked for, since a plane may end where its mapping ends.
#pragma once

#include "kernels/neon/simd.h"
#include "quant/weight.h"

namespace mach::neon {
namespace {

inline const uint8_t* bytes_at(const std::byte* p) noexcept { return reinterpret_cast<const uint8_t*>(p); }

// For widths that straddle bytes, 16 codes that begin at byte Start of the register: table lookups put the one or two bytes
// that hold a code into a 16-bit lane, a shift by that lane's amount moves the code to its top, another brings it down.
template <uint32_t Bits, uint32_t Start>
struct UnpackTable {
  uint8_t bytes[2][16] = {};
  int16_t shift[2][8] = {};

  constexpr UnpackTable() {
    for (uint32_t code = 0; code < 16; ++code) {
      const uint32_t bit = code * Bits;
      const uint32_t first = Start + bit / 8;
      const bool two = bit % 8 + Bits > 8;
      bytes[code / 8][2 * (code % 8)] = static_cast<uint8_t>(first);
      bytes[code / 8][2 * (code % 8) + 1] = two ? static_cast<uint8_t>(first + 1) : uint8_t{0xff};
      shift[code / 8][code % 8] = static_cast<int16_t>(16 - Bits - bit % 8);
    }
  }
};

template <uint32_t Bits, uint32_t Start>
inline uint8x16_t unpack_straddling(uint8x16_t v) noexcept {
  static constexpr UnpackTable<Bits, Start> kTable;
  const auto part = [&](uint32_t k) {
    const uint16x8_t pairs = vreinterpretq_u16_u8(vqtbl1q_u8(v, vld1q_u8(kTable.bytes[k])));
    return vmovn_u16(vshrq_n_u16(vshlq_u16(pairs, vld1q_s16(kTable.shift[k])), 16 - Bits));
  };
  return vcombine_u8(part(0), part(1));
}

inline uint8x16_t interleave_nibbles(uint8x8_t v) noexcept {
  const uint8x8x2_t pairs = vzip_u8(vand_u8(v, vdup_n_u8(15)), vshr_n_u8(v, 4));
  return vcombine_u8(pairs.val[0], pairs.val[1]);
}

// 32 codes of Bits bits, from 4 * Bits bytes.
template <uint32_t Bits>
inline uint8x16x2_t unpack(const std::byte* p) noexcept;

template <>
inline uint8x16x2_t unpack<2>(const std::byte* p) noexcept {
  const uint8x16_t v = vcombine_u8(vld1_u8(bytes_at(p)), vdup_n_u8(0));
  return {{unpack_straddling<2, 0>(v), unpack_straddling<2, 4>(v)}};
}
template <>
inline uint8x16x2_t unpack<3>(const std::byte* p) noexcept {
  uint32_t last = 0;
  __builtin_memcpy(&last, p + 8, 4);
  const uint8x16_t v = vcombine_u8(vld1_u8(bytes_at(p)), vcreate_u8(last));
  return {{unpack_straddling<3, 0>(v), unpack_straddling<3, 6>(v)}};
}
template <>
inline uint8x16x2_t unpack<4>(const std::byte* p) noexcept {
  return {{interleave_nibbles(vld1_u8(bytes_at(p))), interleave_nibbles(vld1_u8(bytes_at(p + 8)))}};
}
template <>
inline uint8x16x2_t unpack<5>(const std::byte* p) noexcept {
  return {
      {unpack_straddling<5, 0>(vld1q_u8(bytes_at(p))), unpack_straddling<5, 6>(vld1q_u8(bytes_at(p + 4)))}};
}
template <>
inline uint8x16x2_t unpack<6>(const std::byte* p) noexcept {
  return {
      {unpack_straddling<6, 0>(vld1q_u8(bytes_at(p))), unpack_straddling<6, 4>(vld1q_u8(bytes_at(p + 8)))}};
}
template <>
inline uint8x16x2_t unpack<8>(const std::byte* p) noexcept {
  return {{vld1q_u8(bytes_at(p)), vld1q_u8(bytes_at(p + 16))}};
}

// Four bytes, as 32-bit integers; absent ones are zero.
inline uint32x4_t load_bytes(const std::byte* p, uint32_t n) noexcept {
  uint32_t v = 0;
  __builtin_memcpy(&v, p, n);
  return vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(v))));
}

inline float32x4_t widen_e8m0(uint32x4_t code) noexcept {
  return vreinterpretq_f32_u32(
      vmaxq_u32(vshlq_n_u32(code, 23), vdupq_n_u32(0x00400000)));  // code 0 is 2^-127
}
inline float32x4_t widen_e4m3(uint32x4_t code) noexcept {
  const uint32x4_t magnitude = vshlq_n_u32(vandq_u32(code, vdupq_n_u32(0x7f)), 20);
  const float32x4_t value = vmulq_f32(vreinterpretq_f32_u32(magnitude), all(0x1p120F));
  return vreinterpretq_f32_u32(
      vorrq_u32(vreinterpretq_u32_f32(value), vshlq_n_u32(vshrq_n_u32(code, 7), 31)));
}

// Up to four scales; absent ones are of no consequence.
inline float32x4_t widen_scales4(ScaleType type, const std::byte* p, uint32_t first, uint32_t n) noexcept {
  switch (type) {
    case ScaleType::kNone:
      break;
    case ScaleType::kF32:
      return F32::load(p + size_t{4} * first, n);
    case ScaleType::kF16:
      return F16::load(p + size_t{2} * first, n);
    case ScaleType::kBF16:
      return BF16::load(p + size_t{2} * first, n);
    case ScaleType::kE8M0:
      return widen_e8m0(load_bytes(p + first, n));
    case ScaleType::kE4M3:
      return widen_e4m3(load_bytes(p + first, n));
  }
  return all(0.0F);
}

// n scales as fp32, times `factor`.
inline void widen_scales(ScaleType type, const std::byte* p, uint32_t n, float factor, float* out) noexcept {
  for (uint32_t i = 0; i < n; i += 4) {
    const uint32_t part = part_of(n, i);
    store_part(out + i, part, vmulq_f32(widen_scales4(type, p, i, part), all(factor)));
  }
}

inline const std::byte* row_of(const Plane& plane, uint64_t row) noexcept {
  return plane.data + row * plane.row_stride;
}

}  // namespace
}  // namespace mach::neon
