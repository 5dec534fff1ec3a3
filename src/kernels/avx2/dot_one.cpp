// One column against rows straight from their codes: what decode and dot_rows_f32 give together, without a buffer between.
// Codes become weights 32 at a time, which go into the 16 lanes of the fixed order in two steps.
#include "kernels/avx2/avx2_kernels.h"
#include "kernels/avx2/unpack.h"

namespace mach::avx2 {
namespace {

constexpr uint32_t kScaleBlock = 16;  // scales widened at a time

// How 32 codes become weights.
template <uint32_t Bits>
struct Affine {
  static constexpr uint32_t kBytes = 4 * Bits;
  static constexpr bool kBiases = true;
  static void weights(const std::byte* p, __m256 s, __m256 b, __m256 (&w)[4]) noexcept {
    const __m256i v = unpack<Bits>(p);
    const __m128i low = _mm256_castsi256_si128(v);
    const __m128i high = _mm256_extracti128_si256(v, 1);
    w[0] = _mm256_fmadd_ps(s, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(low)), b);
    w[1] = _mm256_fmadd_ps(s, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(low, 8))), b);
    w[2] = _mm256_fmadd_ps(s, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(high)), b);
    w[3] = _mm256_fmadd_ps(s, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(high, 8))), b);
  }
};

struct MxFp4 {
  static constexpr uint32_t kBytes = 16;
  static constexpr bool kBiases = false;
  static void weights(const std::byte* p, __m256 s, __m256, __m256 (&w)[4]) noexcept {
    const __m256i v = unpack<4>(p);
    const __m128i low = _mm256_castsi256_si128(v);
    const __m128i high = _mm256_extracti128_si256(v, 1);
    w[0] = _mm256_mul_ps(e2m1(_mm256_cvtepu8_epi32(low)), s);
    w[1] = _mm256_mul_ps(e2m1(_mm256_cvtepu8_epi32(_mm_srli_si128(low, 8))), s);
    w[2] = _mm256_mul_ps(e2m1(_mm256_cvtepu8_epi32(high)), s);
    w[3] = _mm256_mul_ps(e2m1(_mm256_cvtepu8_epi32(_mm_srli_si128(high, 8))), s);
  }
};

struct Fp8 {
  static constexpr uint32_t kBytes = 32;
  static constexpr bool kBiases = false;
  static void weights(const std::byte* p, __m256 s, __m256, __m256 (&w)[4]) noexcept {
#pragma GCC unroll 4
    for (uint32_t k = 0; k < 4; ++k) w[k] = _mm256_mul_ps(widen_e4m3(load8(p + 8 * k)), s);
  }
};

template <class Codec, uint32_t R>
void tile(const WeightMatrix& weight, uint32_t row, const float* x, float* y) noexcept {
  const WeightFormat& format = weight.format;
  const uint32_t group = format.group == 0 ? weight.cols : format.group;
  const uint32_t groups = group == 0 ? 0 : (weight.cols + group - 1) / group;
  const std::byte* codes[R];
  const std::byte* scale_rows[R];
  const std::byte* bias_rows[R] = {};
  __m256 low[R];
  __m256 high[R];
#pragma GCC unroll 8
  for (uint32_t r = 0; r < R; ++r) {
    const uint32_t scale_row = format.block_rows == 0 ? 0 : (row + r) / format.block_rows;
    codes[r] = row_of(weight.codes, row + r);
    scale_rows[r] = row_of(weight.scales, scale_row);
    if constexpr (Codec::kBiases) bias_rows[r] = row_of(weight.biases, scale_row);
    low[r] = high[r] = _mm256_setzero_ps();
  }
  for (uint32_t first = 0; first < groups; first += kScaleBlock) {
    alignas(64) float scale[R][kScaleBlock];
    alignas(64) float bias[R][kScaleBlock];
    const uint32_t count = smaller(kScaleBlock, groups - first);
    const size_t at = first * bytes_of(format.scale);
    for (uint32_t r = 0; r < R; ++r) {
      widen_scales(format.scale, scale_rows[r] + at, count, scale[r]);
      if constexpr (Codec::kBiases) widen_scales(format.scale, bias_rows[r] + at, count, bias[r]);
    }
    for (uint32_t g = 0; g < count; ++g) {
      const uint32_t begin = (first + g) * group;
      const uint32_t end = begin + smaller(group, weight.cols - begin);
      __m256 s[R];
      __m256 b[R];
#pragma GCC unroll 8
      for (uint32_t r = 0; r < R; ++r) {
        s[r] = _mm256_set1_ps(scale[r][g]);
        b[r] = _mm256_set1_ps(Codec::kBiases ? bias[r][g] : 0.0F);
      }
      for (uint32_t i = begin; i < end; i += 32) {
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; ++r) {
          __m256 w[4];
          Codec::weights(codes[r] + size_t{i} / 32 * Codec::kBytes, s[r], b[r], w);
          low[r] = _mm256_fmadd_ps(w[0], _mm256_loadu_ps(x + i), low[r]);
          high[r] = _mm256_fmadd_ps(w[1], _mm256_loadu_ps(x + i + 8), high[r]);
          low[r] = _mm256_fmadd_ps(w[2], _mm256_loadu_ps(x + i + 16), low[r]);
          high[r] = _mm256_fmadd_ps(w[3], _mm256_loadu_ps(x + i + 24), high[r]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (uint32_t r = 0; r < R; ++r) y[row + r] = sum_lanes(low[r], high[r]);
}

template <class Codec>
void dot_one(const WeightMatrix& weight, uint32_t row_begin, uint32_t row_end, const float* x,
             float* y) noexcept {
  constexpr uint32_t kRows = 2;
  uint32_t row = row_begin;
  for (; row + kRows <= row_end; row += kRows) tile<Codec, kRows>(weight, row, x, y);
  for (; row < row_end; ++row) tile<Codec, 1>(weight, row, x, y);
}

}  // namespace

void dot_one_affine2(const WeightMatrix& weight, uint32_t row_begin, uint32_t row_end, const float* x,
                     float* y) noexcept {
  dot_one<Affine<2>>(weight, row_begin, row_end, x, y);
}
void dot_one_affine3(const WeightMatrix& weight, uint32_t row_begin, uint32_t row_end, const float* x,
                     float* y) noexcept {
  dot_one<Affine<3>>(weight, row_begin, row_end, x, y);
}
void dot_one_affine4(const WeightMatrix& weight, uint32_t row_begin, uint32_t row_end, const float* x,
                     float* y) noexcept {
  dot_one<Affine<4>>(weight, row_begin, row_end, x, y);
}
void dot_one_affine5(const WeightMatrix& weight, uint32_t row_begin, uint32_t row_end, const float* x,
                     float* y) noexcept {
  dot_one<Affine<5>>(weight, row_begin, row_end, x, y);
}
void dot_one_affine6(const WeightMatrix& weight, uint32_t row_begin, uint32_t row_end, const float* x,
                     float* y) noexcept {
  dot_one<Affine<6>>(weight, row_begin, row_end, x, y);
}
void dot_one_affine8(const WeightMatrix& weight, uint32_t row_begin, uint32_t row_end, const float* x,
                     float* y) noexcept {
  dot_one<Affine<8>>(weight, row_begin, row_end, x, y);
}
void dot_one_mxfp4(const WeightMatrix& weight, uint32_t row_begin, uint32_t row_end, const float* x,
                   float* y) noexcept {
  dot_one<MxFp4>(weight, row_begin, row_end, x, y);
}
void dot_one_fp8(const WeightMatrix& weight, uint32_t row_begin, uint32_t row_end, const float* x,
                 float* y) noexcept {
  dot_one<Fp8>(weight, row_begin, row_end, x, y);
}

}  // namespace mach::avx2
