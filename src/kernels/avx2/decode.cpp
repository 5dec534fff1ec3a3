// Rows of weights as fp32, with the arithmetic of quant/decode.h.
#include "kernels/avx2/avx2_kernels.h"
#include "kernels/avx2/unpack.h"

namespace mach::avx2 {
namespace {

// 16 scales at a time are enough for a few cache lines of weights.
constexpr uint32_t kScaleBlock = 16;

struct ScaleBlock {
  alignas(32) float value[kScaleBlock];
};

// Calls f(group, scale, bias) for the groups of a row, in order.
template <class F>
void for_each_group(const WeightMatrix& weight, const std::byte* scales, const std::byte* biases,
                    uint32_t groups, F f) noexcept {
  const ScaleType type = weight.format.scale;
  ScaleBlock scale;
  ScaleBlock bias = {};
  for (uint32_t first = 0; first < groups; first += kScaleBlock) {
    const uint32_t count = smaller(kScaleBlock, groups - first);
    widen_scales(type, scales + first * bytes_of(type), count, scale.value);
    if (biases != nullptr) widen_scales(type, biases + first * bytes_of(type), count, bias.value);
    for (uint32_t k = 0; k < count; ++k) f(first + k, scale.value[k], bias.value[k]);
  }
}

void multiply_by(float factor, uint32_t n, float* y) noexcept {
  if (factor != 1.0F) scale(factor, n, y);
}

// f(eight codes as integers) for the 32 codes of v, to out.
template <class F>
void widen32(__m256i v, float* out, F f) noexcept {
  const __m128i low = _mm256_castsi256_si128(v);
  const __m128i high = _mm256_extracti128_si256(v, 1);
  _mm256_storeu_ps(out, f(_mm256_cvtepu8_epi32(low)));
  _mm256_storeu_ps(out + 8, f(_mm256_cvtepu8_epi32(_mm_srli_si128(low, 8))));
  _mm256_storeu_ps(out + 16, f(_mm256_cvtepu8_epi32(high)));
  _mm256_storeu_ps(out + 24, f(_mm256_cvtepu8_epi32(_mm_srli_si128(high, 8))));
}

template <uint32_t Bits>
void decode_affine(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  const std::byte* codes = row_of(weight.codes, row);
  const uint32_t group = weight.format.group;
  for_each_group(weight, row_of(weight.scales, row), row_of(weight.biases, row), weight.cols / group,
                 [&](uint32_t g, float scale_value, float bias_value) {
                   const __m256 s = _mm256_set1_ps(scale_value);
                   const __m256 b = _mm256_set1_ps(bias_value);
                   for (uint32_t i = g * group; i < (g + 1) * group; i += 32) {
                     widen32(unpack<Bits>(codes + size_t{i} / 8 * Bits), out + i,
                             [&](__m256i q) { return _mm256_fmadd_ps(s, _mm256_cvtepi32_ps(q), b); });
                   }
                 });
  multiply_by(weight.global_scale, weight.cols, out);
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
                   const __m256 s = _mm256_set1_ps(value);
                   widen32(unpack<4>(codes + size_t{16} * g), out + size_t{32} * g,
                           [&](__m256i q) { return _mm256_mul_ps(e2m1(q), s); });
                 });
  multiply_by(weight.global_scale, weight.cols, out);
}

void decode_nvfp4(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  const std::byte* codes = row_of(weight.codes, row);
  for_each_group(
      weight, row_of(weight.scales, row), nullptr, weight.cols / 16, [&](uint32_t g, float value, float) {
        const __m256 s = _mm256_set1_ps(value);
        const __m128i q = unpack_nibbles16(codes + size_t{8} * g);
        float* at = out + size_t{16} * g;
        _mm256_storeu_ps(at, _mm256_mul_ps(e2m1(_mm256_cvtepu8_epi32(q)), s));
        _mm256_storeu_ps(at + 8, _mm256_mul_ps(e2m1(_mm256_cvtepu8_epi32(_mm_srli_si128(q, 8))), s));
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
    const __m256 s = _mm256_set1_ps(value);
    uint32_t i = g * group;
    const uint32_t end = i + smaller(group, weight.cols - i);
    for (; i + 8 <= end; i += 8) _mm256_storeu_ps(out + i, _mm256_mul_ps(widen_e4m3(load8(codes + i)), s));
    if (i < end) store_part(out + i, end - i, _mm256_mul_ps(widen_e4m3(load_part8(codes + i, end - i)), s));
  });
  multiply_by(weight.global_scale, weight.cols, out);
}

void decode_f32(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  widen_scales(ScaleType::kF32, row_of(weight.codes, row), weight.cols / 8 * 8, out);
  const uint32_t i = weight.cols / 8 * 8;
  const uint32_t rest = weight.cols - i;
  if (rest != 0) store_part(out + i, rest, F32::load(row_of(weight.codes, row) + size_t{4} * i, rest));
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

}  // namespace mach::avx2
