// Codes and scales out of their planes: 32 codes as bytes in element order, rows of scales as fp32. No load reaches beyond
// the codes asked for, since a plane may end where its mapping ends.
#pragma once

#include "kernels/avx2/simd.h"
#include "quant/weight.h"

namespace mach::avx2 {
namespace {

// For widths that straddle bytes. Each half of the register takes 16 codes: two shuffles put the one or two bytes that
// hold a code into a 16-bit lane, a multiplication moves the code to the lane's top, a shift brings it down.
template <uint32_t Bits, uint32_t HighStart>
struct UnpackTable {
  alignas(32) uint8_t bytes[2][32] = {};
  alignas(32) uint16_t factor[2][16] = {};

  // HighStart: where the codes of the upper half begin in that half's 16 loaded bytes.
  constexpr UnpackTable() {
    for (uint32_t half = 0; half < 2; ++half) {
      for (uint32_t code = 0; code < 16; ++code) {
        const uint32_t bit = code * Bits;
        const uint32_t first = (half == 0 ? 0 : HighStart) + bit / 8;
        const uint32_t lane = half * 8 + code % 8;
        const bool two = bit % 8 + Bits > 8;
        bytes[code / 8][2 * lane] = static_cast<uint8_t>(first);
        bytes[code / 8][2 * lane + 1] = two ? static_cast<uint8_t>(first + 1) : uint8_t{0x80};
        factor[code / 8][lane] = static_cast<uint16_t>(1U << (16 - Bits - bit % 8));
      }
    }
  }
};

template <uint32_t Bits, uint32_t HighStart>
inline __m256i unpack_straddling(__m256i v) noexcept {
  static constexpr UnpackTable<Bits, HighStart> kTable;
  const auto part = [&](uint32_t k) {
    const __m256i pairs = _mm256_shuffle_epi8(v, load32(kTable.bytes[k]));
    return _mm256_srli_epi16(_mm256_mullo_epi16(pairs, load32(kTable.factor[k])), 16 - Bits);
  };
  return _mm256_packus_epi16(part(0), part(1));
}

// 32 codes of Bits bits, from 4 * Bits bytes.
template <uint32_t Bits>
inline __m256i unpack(const std::byte* p) noexcept;

template <>
inline __m256i unpack<2>(const std::byte* p) noexcept {
  return unpack_straddling<2, 4>(_mm256_broadcastq_epi64(load8(p)));
}
template <>
inline __m256i unpack<3>(const std::byte* p) noexcept {
  return unpack_straddling<3, 6>(_mm256_broadcastsi128_si256(_mm_insert_epi32(load8(p), load4(p + 8), 2)));
}
template <>
inline __m256i unpack<4>(const std::byte* p) noexcept {
  const __m256i v =
      _mm256_cvtepu8_epi16(load16(p));  // byte j in lane j: low nibble stays, high nibble moves up
  return _mm256_and_si256(_mm256_or_si256(v, _mm256_slli_epi16(v, 4)), _mm256_set1_epi8(15));
}
template <>
inline __m256i unpack<5>(const std::byte* p) noexcept {
  return unpack_straddling<5, 6>(_mm256_set_m128i(load16(p + 4), load16(p)));
}
template <>
inline __m256i unpack<6>(const std::byte* p) noexcept {
  return unpack_straddling<6, 4>(_mm256_set_m128i(load16(p + 8), load16(p)));
}
template <>
inline __m256i unpack<8>(const std::byte* p) noexcept {
  return load32(p);
}

// 16 four-bit codes from 8 bytes.
inline __m128i unpack_nibbles16(const std::byte* p) noexcept {
  const __m128i v = _mm_cvtepu8_epi16(load8(p));
  return _mm_and_si128(_mm_or_si128(v, _mm_slli_epi16(v, 4)), _mm_set1_epi8(15));
}

// Eight scales as fp32, from 8 * their size bytes.
inline __m256 widen_e8m0(__m128i bytes) noexcept {
  const __m256i exponent = _mm256_slli_epi32(_mm256_cvtepu8_epi32(bytes), 23);
  return _mm256_castsi256_ps(_mm256_max_epi32(exponent, _mm256_set1_epi32(0x00400000)));  // code 0 is 2^-127
}
// By way of f16: sign, four exponent bits and fraction fall into its fields, 2^8 makes up for the bias. (Moved straight into
// fp32 fields, small codes would be subnormal operands, which some processors multiply very slowly.)
inline __m256 widen_e4m3(__m128i bytes) noexcept {
  const __m128i high = _mm_slli_epi16(_mm_cvtepu8_epi16(bytes), 8);
  const __m128i half = _mm_and_si128(_mm_srai_epi16(high, 1), _mm_set1_epi16(static_cast<int16_t>(0xbfff)));
  return _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256.0F));
}

// Up to 8 bytes, the rest zero.
inline __m128i load_part8(const std::byte* p, uint32_t n) noexcept {
  uint64_t v = 0;
  for (uint32_t i = 0; i < n; ++i) v |= static_cast<uint64_t>(p[i]) << (8 * i);
  return _mm_cvtsi64_si128(static_cast<int64_t>(v));
}

template <class Widen, class Part>
inline void widen_row(uint32_t n, float* out, Widen widen, Part part) noexcept {
  uint32_t i = 0;
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(out + i, widen(i));
  if (i < n) _mm256_storeu_ps(out + i, part(i, n - i));
}

// n scales as fp32; writes whole registers, zeros after the last.
inline void widen_scales(ScaleType type, const std::byte* p, uint32_t n, float* out) noexcept {
  switch (type) {
    case ScaleType::kNone:
      break;
    case ScaleType::kF32:
      widen_row(
          n, out, [&](uint32_t i) { return F32::load(p + size_t{4} * i); },
          [&](uint32_t i, uint32_t count) { return F32::load(p + size_t{4} * i, count); });
      break;
    case ScaleType::kF16:
      widen_row(
          n, out, [&](uint32_t i) { return F16::load(p + size_t{2} * i); },
          [&](uint32_t i, uint32_t count) { return F16::load(p + size_t{2} * i, count); });
      break;
    case ScaleType::kBF16:
      widen_row(
          n, out, [&](uint32_t i) { return BF16::load(p + size_t{2} * i); },
          [&](uint32_t i, uint32_t count) { return BF16::load(p + size_t{2} * i, count); });
      break;
    case ScaleType::kE8M0:
      widen_row(
          n, out, [&](uint32_t i) { return widen_e8m0(load8(p + i)); },
          [&](uint32_t i, uint32_t count) { return widen_e8m0(load_part8(p + i, count)); });
      break;
    case ScaleType::kE4M3:
      widen_row(
          n, out, [&](uint32_t i) { return widen_e4m3(load8(p + i)); },
          [&](uint32_t i, uint32_t count) { return widen_e4m3(load_part8(p + i, count)); });
      break;
  }
}

inline size_t bytes_of(ScaleType type) noexcept {
  return type == ScaleType::kF32 ? 4 : type == ScaleType::kF16 || type == ScaleType::kBF16 ? 2 : 1;
}

// The value of eight E2M1 codes: the low three bits choose the magnitude, the fourth is the sign.
inline __m256 e2m1(__m256i code) noexcept {
  const __m256 magnitudes = _mm256_setr_ps(0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F);
  const __m256 sign = _mm256_and_ps(_mm256_castsi256_ps(_mm256_slli_epi32(code, 28)), _mm256_set1_ps(-0.0F));
  return _mm256_or_ps(_mm256_permutevar8x32_ps(magnitudes, code), sign);
}

inline uint32_t smaller(uint32_t a, uint32_t b) noexcept { return a < b ? a : b; }

inline const std::byte* row_of(const Plane& plane, uint64_t row) noexcept {
  return plane.data + row * plane.row_stride;
}

}  // namespace
}  // namespace mach::avx2
