// Codes and scales out of their planes: 64 codes as bytes in element order, rows of scales as fp32. No load reaches beyond
// the codes asked for, since a plane may end where its mapping ends.
#pragma once

#include "kernels/avx512/simd.h"
#include "quant/weight.h"

namespace mach::avx512 {
namespace {

// Both halves of a 64-byte register take 32 codes each; `upper` null leaves the upper half zero.
inline __m512i join(__m256i low, const std::byte* upper, __m256i (*load)(const std::byte*)) noexcept {
  const __m512i v = _mm512_zextsi256_si512(low);
  return upper == nullptr ? v : _mm512_inserti64x4(v, load(upper), 1);
}

// The bytes of 32 codes, 16 codes in reach of each 128-bit lane.
template <uint32_t Bits>
inline __m256i spread(const std::byte* p) noexcept;
template <>
inline __m256i spread<2>(const std::byte* p) noexcept {
  return _mm256_broadcastq_epi64(load8(p));
}
template <>
inline __m256i spread<3>(const std::byte* p) noexcept {
  const __m128i last = _mm_loadu_si32(p + 8);
  return _mm256_broadcastsi128_si256(_mm_unpacklo_epi64(load8(p), last));
}
template <>
inline __m256i spread<5>(const std::byte* p) noexcept {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(load16(p)), load16(p + 4), 1);
}
template <>
inline __m256i spread<6>(const std::byte* p) noexcept {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(load16(p)), load16(p + 8), 1);
}

// Where the codes of the second lane begin in its 16 loaded bytes.
template <uint32_t Bits>
constexpr uint32_t kSecondLane = Bits == 2 || Bits == 6 ? 4 : 6;

// For widths that straddle bytes: two shuffles put the one or two bytes that hold a code into a 16-bit lane, a shift by
// that lane's amount moves the code to its top, another brings it down.
template <uint32_t Bits>
struct UnpackTable {
  alignas(64) uint8_t bytes[2][64] = {};
  alignas(64) uint16_t shift[2][32] = {};

  constexpr UnpackTable() {
    for (uint32_t lane = 0; lane < 4; ++lane) {
      for (uint32_t code = 0; code < 16; ++code) {
        const uint32_t bit = code * Bits;
        const uint32_t first = (lane % 2 == 0 ? 0 : kSecondLane<Bits>)+bit / 8;
        const uint32_t word = lane * 8 + code % 8;
        const bool two = bit % 8 + Bits > 8;
        bytes[code / 8][2 * word] = static_cast<uint8_t>(first);
        bytes[code / 8][2 * word + 1] = two ? static_cast<uint8_t>(first + 1) : uint8_t{0x80};
        shift[code / 8][word] = static_cast<uint16_t>(16 - Bits - bit % 8);
      }
    }
  }
};

// 64 codes of Bits bits; `upper` is the address of the second 32, or null.
template <uint32_t Bits>
inline __m512i unpack(const std::byte* p, const std::byte* upper) noexcept {
  static constexpr UnpackTable<Bits> kTable;
  const __m512i v = join(spread<Bits>(p), upper, spread<Bits>);
  const auto part = [&](uint32_t k) {
    const __m512i pairs = _mm512_shuffle_epi8(v, _mm512_load_si512(kTable.bytes[k]));
    return _mm512_srli_epi16(_mm512_sllv_epi16(pairs, _mm512_load_si512(kTable.shift[k])), 16 - Bits);
  };
  return _mm512_packus_epi16(part(0), part(1));
}

template <>
inline __m512i unpack<4>(const std::byte* p, const std::byte* upper) noexcept {
  const __m256i low = _mm256_castsi128_si256(load16(p));
  const __m256i bytes =
      upper == nullptr ? _mm256_zextsi128_si256(load16(p)) : _mm256_inserti128_si256(low, load16(upper), 1);
  const __m512i v = _mm512_cvtepu8_epi16(bytes);  // byte j in lane j: low nibble stays, high nibble moves up
  return _mm512_and_si512(_mm512_or_si512(v, _mm512_slli_epi16(v, 4)), _mm512_set1_epi8(15));
}
template <>
inline __m512i unpack<8>(const std::byte* p, const std::byte* upper) noexcept {
  return upper == nullptr ? _mm512_zextsi256_si512(load32(p)) : _mm512_loadu_si512(p);
}

inline __m512 widen_e8m0(__m128i bytes) noexcept {
  const __m512i exponent = _mm512_slli_epi32(_mm512_cvtepu8_epi32(bytes), 23);
  return _mm512_castsi512_ps(_mm512_max_epi32(exponent, _mm512_set1_epi32(0x00400000)));  // code 0 is 2^-127
}
// By way of f16: sign, four exponent bits and fraction fall into its fields, 2^8 makes up for the bias. (Moved straight into
// fp32 fields, small codes would be subnormal operands, which some processors multiply very slowly.)
inline __m512 widen_e4m3(__m128i bytes) noexcept {
  const __m256i high = _mm256_slli_epi16(_mm256_cvtepu8_epi16(bytes), 8);
  const __m256i half =
      _mm256_and_si256(_mm256_srai_epi16(high, 1), _mm256_set1_epi16(static_cast<int16_t>(0xbfff)));
  return _mm512_mul_ps(_mm512_cvtph_ps(half), all(256.0F));
}

// n scales as fp32; writes whole registers of 16, zeros after the last.
inline void widen_scales(ScaleType type, const std::byte* p, uint32_t n, float* out) noexcept {
  for (uint32_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = first_lanes(n - i);
    __m512 v = _mm512_setzero_ps();
    switch (type) {
      case ScaleType::kNone:
        break;
      case ScaleType::kF32:
        v = F32::load(p + size_t{4} * i, lanes);
        break;
      case ScaleType::kF16:
        v = F16::load(p + size_t{2} * i, lanes);
        break;
      case ScaleType::kBF16:
        v = BF16::load(p + size_t{2} * i, lanes);
        break;
      case ScaleType::kE8M0:
        v = _mm512_maskz_mov_ps(lanes, widen_e8m0(_mm_maskz_loadu_epi8(lanes, p + i)));
        break;
      case ScaleType::kE4M3:
        v = widen_e4m3(_mm_maskz_loadu_epi8(lanes, p + i));
        break;
    }
    _mm512_storeu_ps(out + i, v);
  }
}

inline size_t bytes_of(ScaleType type) noexcept {
  return type == ScaleType::kF32 ? 4 : type == ScaleType::kF16 || type == ScaleType::kBF16 ? 2 : 1;
}

// The value of sixteen E2M1 codes.
inline __m512 e2m1(__m512i code) noexcept {
  const __m512 values = _mm512_setr_ps(0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F, -0.0F, -0.5F, -1.0F,
                                       -1.5F, -2.0F, -3.0F, -4.0F, -6.0F);
  return _mm512_permutexvar_ps(code, values);
}

inline uint32_t smaller(uint32_t a, uint32_t b) noexcept { return a < b ? a : b; }

inline const std::byte* row_of(const Plane& plane, uint64_t row) noexcept {
  return plane.data + row * plane.row_stride;
}

}  // namespace
}  // namespace mach::avx512
