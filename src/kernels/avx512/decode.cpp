// Rows of weights as fp32, with the arithmetic of quant/decode.h.
#include "kernels/avx512/avx512_kernels.h"
#include "kernels/avx512/unpack.h"

namespace mach::avx512 {
namespace {

// 16 scales at a time are enough for a few cache lines of weights.
constexpr uint32_t kScaleBlock = 16;

// Calls f(group, scale, bias) for the groups of a row, in order.
template <class F>
void for_each_group(const WeightMatrix& weight, const std::byte* scales, const std::byte* biases,
                    uint32_t groups, F f) noexcept {
  const ScaleType type = weight.format.scale;
  alignas(64) float scale[kScaleBlock];
  alignas(64) float bias[kScaleBlock] = {};
  for (uint32_t first = 0; first < groups; first += kScaleBlock) {
    const uint32_t count = smaller(kScaleBlock, groups - first);
    widen_scales(type, scales + first * bytes_of(type), count, scale);
    if (biases != nullptr) widen_scales(type, biases + first * bytes_of(type), count, bias);
    for (uint32_t k = 0; k < count; ++k) f(first + k, scale[k], bias[k]);
  }
}

void multiply_by(float factor, uint32_t n, float* y) noexcept {
  if (factor != 1.0F) scale(factor, n, y);
}

// f(sixteen codes as integers) for 32 codes, to out.
template <class F>
void widen32(__m256i v, float* out, F f) noexcept {
  _mm512_storeu_ps(out, f(_mm512_cvtepu8_epi32(_mm256_castsi256_si128(v))));
  _mm512_storeu_ps(out + 16, f(_mm512_cvtepu8_epi32(_mm256_extracti128_si256(v, 1))));
}

template <uint32_t Bits>
void decode_affine(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  const std::byte* codes = row_of(weight.codes, row);
  const uint32_t group = weight.format.group;
  for_each_group(weight, row_of(weight.scales, row), row_of(weight.biases, row), weight.cols / group,
                 [&](uint32_t g, float scale_value, float bias_value) {
                   const __m512 s = all(scale_value);
                   const __m512 b = all(bias_value);
                   const auto value = [&](__m512i q) { return _mm512_fmadd_ps(s, _mm512_cvtepi32_ps(q), b); };
                   for (uint32_t i = g * group; i < (g + 1) * group; i += 32) {
                     const __m512i v = unpack<Bits>(codes + size_t{i} / 8 * Bits, nullptr);
                     widen32(_mm512_castsi512_si256(v), out + i, value);
                   }
                 });
  multiply_by(weight.global_scale, weight.cols, out);
}

// 16 four-bit codes from 8 bytes.
__m128i unpack_nibbles16(const std::byte* p) noexcept {
  const __m128i v = _mm_cvtepu8_epi16(load8(p));
  return _mm_and_si128(_mm_or_si128(v, _mm_slli_epi16(v, 4)), _mm_set1_epi8(15));
}

}  // namespace

void decode_affine2(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  decode_affine<2>(weight, row, out);
}
void decode_affine3(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  decode_affine<3>(weight, row, out);
}
void decode_affine4(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  decode_affine<4>(weight, row, out);
}
void decode_affine5(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  decode_affine<5>(weight, row, out);
}
void decode_affine6(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  decode_affine<6>(weight, row, out);
}
void decode_affine8(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  decode_affine<8>(weight, row, out);
}

void decode_mxfp4(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  const std::byte* codes = row_of(weight.codes, row);
  for_each_group(weight, row_of(weight.scales, row), nullptr, weight.cols / 32,
                 [&](uint32_t g, float value, float) {
                   const __m512 s = all(value);
                   const __m512i v = unpack<4>(codes + size_t{16} * g, nullptr);
                   widen32(_mm512_castsi512_si256(v), out + size_t{32} * g,
                           [&](__m512i q) { return _mm512_mul_ps(e2m1(q), s); });
                 });
  multiply_by(weight.global_scale, weight.cols, out);
}

void decode_nvfp4(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  const std::byte* codes = row_of(weight.codes, row);
  for_each_group(weight, row_of(weight.scales, row), nullptr, weight.cols / 16,
                 [&](uint32_t g, float value, float) {
                   const __m512i q = _mm512_cvtepu8_epi32(unpack_nibbles16(codes + size_t{8} * g));
                   _mm512_storeu_ps(out + size_t{16} * g, _mm512_mul_ps(e2m1(q), all(value)));
                 });
  multiply_by(weight.global_scale, weight.cols, out);
}

void decode_fp8(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  const uint32_t block_rows = weight.format.block_rows;
  const uint32_t group = weight.format.group == 0 ? weight.cols : weight.format.group;
  if (group == 0) return;
  const std::byte* codes = row_of(weight.codes, row);
  const std::byte* scales = row_of(weight.scales, block_rows == 0 ? 0 : row / block_rows);
  const uint32_t groups = weight.cols / group + (weight.cols % group != 0 ? 1 : 0);
  for_each_group(weight, scales, nullptr, groups, [&](uint32_t g, float value, float) {
    const __m512 s = all(value);
    const uint32_t end = g * group + smaller(group, weight.cols - g * group);
    for (uint32_t i = g * group; i < end; i += 16) {
      const __mmask16 lanes = first_lanes(end - i);
      store_part(out + i, lanes, _mm512_mul_ps(widen_e4m3(_mm_maskz_loadu_epi8(lanes, codes + i)), s));
    }
  });
  multiply_by(weight.global_scale, weight.cols, out);
}

void decode_f32(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  const std::byte* codes = row_of(weight.codes, row);
  for (uint32_t i = 0; i < weight.cols; i += 16) {
    const __mmask16 lanes = first_lanes(weight.cols - i);
    store_part(out + i, lanes, F32::load(codes + size_t{4} * i, lanes));
  }
  multiply_by(weight.global_scale, weight.cols, out);
}
void decode_f16(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  f32_from_f16(row_of(weight.codes, row), weight.cols, out);
  multiply_by(weight.global_scale, weight.cols, out);
}
void decode_bf16(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  f32_from_bf16(row_of(weight.codes, row), weight.cols, out);
  multiply_by(weight.global_scale, weight.cols, out);
}

}  // namespace mach::avx512
