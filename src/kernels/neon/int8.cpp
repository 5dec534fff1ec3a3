// Products of integer codes with int8 activations. Codes become 32 signed bytes in element order; smull and smlal multiply
// and add pairs, sadalp adds pairs of those: four exact integer sums of eight, which are converted, scaled by (weight scale *
// activation scale) and added to four fp32 lanes, group after group. The sums of the lanes, of the bias terms and the matrix
// scale come last.
//
// Pairs must not pass 32767: 8-bit codes are taken as signed around 128 (2 * 128 * 127 fits), all others fit as they are.
// FP4 codes are doubled, their scale is halved. Every (row, column) result has the same order of operations.
#include "kernels/neon/neon_kernels.h"
#include "kernels/neon/unpack.h"

namespace mach::neon {
namespace {

constexpr uint32_t kGroup = 32;

// What distinguishes the codecs: how codes become bytes, and factors[] (one per 32 codes, two with kHalves) and biases[] (one
// per sum group) of a row. Returns the number of biases.
template <uint32_t Bits>
struct Affine {
  static constexpr uint32_t kBytes = 4 * Bits;
  static constexpr bool kHalves = false;

  static int8x16x2_t codes(const std::byte* p) noexcept {
    const uint8x16x2_t v = unpack<Bits>(p);
    const uint8x16_t flip = vdupq_n_u8(Bits == 8 ? 0x80 : 0);
    return {{vreinterpretq_s8_u8(veorq_u8(v.val[0], flip)), vreinterpretq_s8_u8(veorq_u8(v.val[1], flip))}};
  }

  static uint32_t scales(const WeightMatrix& weight, uint32_t row, float* factors, float* biases) noexcept {
    const uint32_t groups = weight.cols / weight.format.group;
    const uint32_t repeat = weight.format.group / kGroup;
    widen_scales(weight.format.scale, row_of(weight.scales, row), groups, 1.0F, biases);
    for (uint32_t g = 0; g < weight.cols / kGroup; ++g) factors[g] = biases[g / repeat];
    widen_scales(weight.format.scale, row_of(weight.biases, row), groups, 1.0F, biases);
    if constexpr (Bits == 8) {
      for (uint32_t g = 0; g < groups; ++g) biases[g] += 128.0F * factors[size_t{g} * repeat];
    }
    return groups;
  }
};

template <uint32_t Group>
struct Fp4 {
  static constexpr uint32_t kBytes = 16;
  static constexpr bool kHalves = Group == 16;

  static int8x16_t doubled(uint8x16_t nibbles) noexcept {
    const int8x16_t table = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    return vqtbl1q_s8(table, nibbles);
  }
  static int8x16x2_t codes(const std::byte* p) noexcept {
    const uint8x16x2_t v = unpack<4>(p);
    return {{doubled(v.val[0]), doubled(v.val[1])}};
  }

  static uint32_t scales(const WeightMatrix& weight, uint32_t row, float* factors, float*) noexcept {
    widen_scales(weight.format.scale, row_of(weight.scales, row), weight.cols / Group, 0.5F, factors);
    return 0;
  }
};

struct Column {
  const int8_t* values;
  const float* scales;
  const float* sums;
  float* y;  // of the job's row 0
};

Column column_of(const kernel::Int8Job& job, uint32_t i) noexcept {
  const size_t c = job.columns == nullptr ? i : job.columns[i];
  return {job.x.values + c * job.x.value_stride, job.x.scales + c * job.x.scale_stride,
          job.x.sums + c * job.x.sum_stride, job.y + i * job.y_stride};
}

// The integer sums of 16 codes, as four lanes.
int32x4_t dot16(int8x16_t codes, int8x16_t x) noexcept {
  return vpaddlq_s16(vmlal_high_s8(vmull_s8(vget_low_s8(codes), vget_low_s8(x)), codes, x));
}
int32x4_t dot32(const int8x16x2_t& codes, const int8_t* x) noexcept {
  const int8x16_t low = vld1q_s8(x);
  const int8x16_t high = vld1q_s8(x + 16);
  const int16x8_t more =
      vmlal_high_s8(vmull_s8(vget_low_s8(codes.val[1]), vget_low_s8(high)), codes.val[1], high);
  return vpadalq_s16(dot16(codes.val[0], low), more);
}

float bias_sum(const float* biases, const float* sums, uint32_t n) noexcept {
  float32x4_t lanes = all(0.0F);
  for (uint32_t i = 0; i < n; i += 4) {
    lanes = vfmaq_f32(lanes, load_part(biases + i, part_of(n, i)), load_part(sums + i, part_of(n, i)));
  }
  return vaddvq_f32(lanes);
}

// One row of unpacked codes (`codes`, 32 per group) and its scales against C columns.
template <class Codec, uint32_t C>
void row_tile(const kernel::Int8Job& job, uint32_t row, const int8_t* codes, const float* factors,
              const float* biases, uint32_t bias_count, uint32_t first_column) noexcept {
  Column columns[C];
  float32x4_t sums[C];
  for (uint32_t c = 0; c < C; ++c) {
    columns[c] = column_of(job, first_column + c);
    sums[c] = all(0.0F);
  }
  const uint32_t groups = (job.weight->cols + kGroup - 1) / kGroup;
  for (uint32_t g = 0; g < groups; ++g) {
    const int8x16x2_t code = {
        {vld1q_s8(codes + size_t{kGroup} * g), vld1q_s8(codes + size_t{kGroup} * g + 16)}};
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) {
      const int8_t* x = columns[c].values + size_t{kGroup} * g;
      const float scale_x = columns[c].scales[g];
      if constexpr (Codec::kHalves) {
        const float32x4_t low = vcvtq_f32_s32(dot16(code.val[0], vld1q_s8(x)));
        const float32x4_t high = vcvtq_f32_s32(dot16(code.val[1], vld1q_s8(x + 16)));
        sums[c] = vfmaq_n_f32(sums[c], low, factors[size_t{2} * g] * scale_x);
        sums[c] = vfmaq_n_f32(sums[c], high, factors[size_t{2} * g + 1] * scale_x);
      } else {
        sums[c] = vfmaq_n_f32(sums[c], vcvtq_f32_s32(dot32(code, x)), factors[g] * scale_x);
      }
    }
  }
  for (uint32_t c = 0; c < C; ++c) {
    const float bias = bias_sum(biases, columns[c].sums, bias_count);
    columns[c].y[row] = (vaddvq_f32(sums[c]) + bias) * job.weight->global_scale;
  }
}

template <class Codec>
void unpack_row(const kernel::Int8Job& job, uint32_t row, int8_t* out) noexcept {
  const uint32_t groups = job.weight->cols / kGroup;
  const std::byte* in = row_of(job.weight->codes, row);
  for (uint32_t g = 0; g < groups; ++g) {
    const int8x16x2_t v = Codec::codes(in + size_t{g} * Codec::kBytes);
    vst1q_s8(out + size_t{kGroup} * g, v.val[0]);
    vst1q_s8(out + size_t{kGroup} * g + 16, v.val[1]);
  }
  if constexpr (Codec::kHalves) {
    if (job.weight->cols % kGroup != 0) {  // half a group; the other half meets zeros of x
      const uint8x16_t nibbles = interleave_nibbles(vld1_u8(bytes_at(in + size_t{groups} * Codec::kBytes)));
      vst1q_s8(out + size_t{kGroup} * groups, Codec::doubled(nibbles));
      vst1q_s8(out + size_t{kGroup} * groups + 16, vdupq_n_s8(0));
    }
  }
}

// Each row is unpacked once, then meets the columns. Scratch: the bytes of a row, its factors, its biases.
template <class Codec>
void int8_rows(const kernel::Int8Job& job) noexcept {
  const size_t padded = (size_t{job.weight->cols} + 511) / 512 * 512;
  auto* codes = reinterpret_cast<int8_t*>(job.scratch);
  auto* factors = reinterpret_cast<float*>(job.scratch + padded);
  float* biases = factors + padded / 16;
  for (size_t i = 0; i < padded / 16; ++i) factors[i] = 0.0F;
  for (uint32_t row = job.row_begin; row < job.row_end; ++row) {
    unpack_row<Codec>(job, row, codes);
    const uint32_t bias_count = Codec::scales(*job.weight, row, factors, biases);
    uint32_t c = 0;
    for (; c + 4 <= job.column_count; c += 4)
      row_tile<Codec, 4>(job, row, codes, factors, biases, bias_count, c);
    for (; c < job.column_count; ++c) row_tile<Codec, 1>(job, row, codes, factors, biases, bias_count, c);
  }
}

}  // namespace

void int8_affine2(const kernel::Int8Job& job) noexcept { int8_rows<Affine<2>>(job); }
void int8_affine3(const kernel::Int8Job& job) noexcept { int8_rows<Affine<3>>(job); }
void int8_affine4(const kernel::Int8Job& job) noexcept { int8_rows<Affine<4>>(job); }
void int8_affine5(const kernel::Int8Job& job) noexcept { int8_rows<Affine<5>>(job); }
void int8_affine6(const kernel::Int8Job& job) noexcept { int8_rows<Affine<6>>(job); }
void int8_affine8(const kernel::Int8Job& job) noexcept { int8_rows<Affine<8>>(job); }
void int8_mxfp4(const kernel::Int8Job& job) noexcept { int8_rows<Fp4<32>>(job); }
void int8_nvfp4(const kernel::Int8Job& job) noexcept { int8_rows<Fp4<16>>(job); }

}  // namespace mach::neon
