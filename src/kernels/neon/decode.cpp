// Rows of weights as fp32, with the arithmetic of quant/decode.h.
#include "kernels/neon/neon_kernels.h"
#include "kernels/neon/unpack.h"

namespace mach::neon {
namespace {

float scale_at(ScaleType type, const std::byte* p, uint32_t index) noexcept {
  return vgetq_lane_f32(widen_scales4(type, p, index, 1), 0);
}

void multiply_by(float factor, uint32_t n, float* y) noexcept {
  if (factor != 1.0F) scale(factor, n, y);
}

// f(four codes as floats) for sixteen codes, to out.
template <class F>
void widen16(uint8x16_t v, float* out, F f) noexcept {
  const uint16x8_t half[2] = {vmovl_u8(vget_low_u8(v)), vmovl_high_u8(v)};
  for (uint32_t k = 0; k < 2; ++k) {
    vst1q_f32(out + 8 * k, f(vmovl_u16(vget_low_u16(half[k]))));
    vst1q_f32(out + 8 * k + 4, f(vmovl_high_u16(half[k])));
  }
}

template <uint32_t Bits>
void decode_affine(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  const std::byte* codes = row_of(weight.codes, row);
  const uint32_t group = weight.format.group;
  for (uint32_t i = 0; i < weight.cols; i += 32) {
    const float32x4_t s = all(scale_at(weight.format.scale, row_of(weight.scales, row), i / group));
    const float32x4_t b = all(scale_at(weight.format.scale, row_of(weight.biases, row), i / group));
    const auto value = [&](uint32x4_t q) { return vfmaq_f32(b, s, vcvtq_f32_u32(q)); };
    const uint8x16x2_t v = unpack<Bits>(codes + size_t{i} / 8 * Bits);
    widen16(v.val[0], out + i, value);
    widen16(v.val[1], out + i + 16, value);
  }
  multiply_by(weight.global_scale, weight.cols, out);
}

// Sixteen E2M1 codes times their scale. Twice the magnitude is an integer; the sign is added last, so that -0 stays.
void decode_e2m1(uint8x16_t codes, float scale_value, float* out) noexcept {
  const uint8x16_t twice = {0, 1, 2, 3, 4, 6, 8, 12, 0, 1, 2, 3, 4, 6, 8, 12};
  const uint8x16_t value = vorrq_u8(vqtbl1q_u8(twice, codes), vshlq_n_u8(vshrq_n_u8(codes, 3), 7));
  widen16(value, out, [&](uint32x4_t v) {
    const float32x4_t magnitude = vmulq_f32(vcvtq_f32_u32(vandq_u32(v, vdupq_n_u32(0x7f))), all(0.5F));
    const uint32x4_t sign = vshlq_n_u32(vshrq_n_u32(v, 7), 31);
    return vmulq_f32(vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(magnitude), sign)),
                     all(scale_value));
  });
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
  for (uint32_t g = 0; g < weight.cols / 32; ++g) {
    const float s = scale_at(weight.format.scale, row_of(weight.scales, row), g);
    const uint8x16x2_t v = unpack<4>(codes + size_t{16} * g);
    decode_e2m1(v.val[0], s, out + size_t{32} * g);
    decode_e2m1(v.val[1], s, out + size_t{32} * g + 16);
  }
  multiply_by(weight.global_scale, weight.cols, out);
}

void decode_nvfp4(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  const std::byte* codes = row_of(weight.codes, row);
  for (uint32_t g = 0; g < weight.cols / 16; ++g) {
    const float s = scale_at(weight.format.scale, row_of(weight.scales, row), g);
    decode_e2m1(interleave_nibbles(vld1_u8(bytes_at(codes + size_t{8} * g))), s, out + size_t{16} * g);
  }
  multiply_by(weight.global_scale, weight.cols, out);
}

void decode_fp8(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  const uint32_t block_rows = weight.format.block_rows;
  const uint32_t group = weight.format.group == 0 ? weight.cols : weight.format.group;
  if (group == 0) return;
  const std::byte* codes = row_of(weight.codes, row);
  const std::byte* scales = row_of(weight.scales, block_rows == 0 ? 0 : row / block_rows);
  for (uint32_t begin = 0; begin < weight.cols; begin += group) {
    const float32x4_t s = all(scale_at(weight.format.scale, scales, begin / group));
    const uint32_t end = begin + smaller(group, weight.cols - begin);
    for (uint32_t i = begin; i < end; i += 4) {
      const uint32_t part = part_of(end, i);
      store_part(out + i, part, vmulq_f32(widen_e4m3(load_bytes(codes + i, part)), s));
    }
  }
  multiply_by(weight.global_scale, weight.cols, out);
}

void decode_f32(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  __builtin_memcpy(out, row_of(weight.codes, row), size_t{4} * weight.cols);
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

}  // namespace mach::neon
