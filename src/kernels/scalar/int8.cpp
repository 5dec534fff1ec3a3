// Quantised activations and the products of integer codes with them.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/int8_terms.h"
#include "kernels/scalar/scalar_kernels.h"
#include "quant/codec.h"
#include "quant/decode.h"
#include "quant/packing.h"
#include "quant/small_floats.h"

namespace mach::scalar {
namespace {

constexpr uint32_t kGroup = 32;
constexpr float kNegligible = 1e-30F;

uint32_t magnitude_bits(float x) noexcept { return std::bit_cast<uint32_t>(x) & 0x7fffffffU; }

}  // namespace

void quantize_int8(const float* x, uint32_t n, int8_t* values, float* scales) noexcept {
  const uint32_t padded = (n + 63) / 64 * 64;
  for (uint32_t begin = 0; begin < padded; begin += kGroup) {
    const uint32_t end = std::min(n, begin + kGroup);
    uint32_t largest = 0;  // compared as bits, so that NaN counts as larger than everything
    for (uint32_t i = begin; i < end; ++i) largest = std::max(largest, magnitude_bits(x[i]));
    const auto amax = std::bit_cast<float>(largest);
    const bool finite = largest < 0x7f800000U;
    float& scale = scales[begin / kGroup];
    std::fill(values + begin, values + begin + kGroup, int8_t{0});
    if (!finite || amax < kNegligible) {
      scale = finite ? 0.0F : std::numeric_limits<float>::quiet_NaN();
      continue;
    }
    scale = amax / 127.0F;
    const float inverse = 127.0F / amax;
    for (uint32_t i = begin; i < end; ++i) values[i] = static_cast<int8_t>(std::nearbyint(x[i] * inverse));
  }
}

void refine_int8(const float* x, uint32_t n, const int8_t* values, const float* scales,
                 int8_t* low) noexcept {
  refine_int8_loop(x, n, values, scales, low);
}

void total_int8(const int8_t* values, const int8_t* low, uint32_t n, int32_t* totals) noexcept {
  total_int8_loop(values, low, n, totals);
}

namespace {

// FP4 codes as integers: twice the value. The scale is halved to match.
int32_t integer_code(CodecId codec, uint32_t code) noexcept {
  return codec == CodecId::kAffine ? static_cast<int32_t>(code)
                                   : static_cast<int32_t>(2.0F * e2m1_to_f32(code));
}

float int8_dot(const WeightMatrix& weight, uint32_t row, const int8_t* x, const float* x_scales,
               const float* x_sums) noexcept {
  const WeightFormat& format = weight.format;
  const bool affine = format.codec == CodecId::kAffine;
  const float unit = affine ? 1.0F : 0.5F;
  float sum = 0.0F;
  for (uint32_t begin = 0; begin < weight.cols;) {
    const uint32_t end = std::min({weight.cols, begin + kGroup, begin + uint32_t{format.group}});
    int32_t dot = 0;
    for (uint32_t i = begin; i < end; ++i) {
      dot += integer_code(format.codec, load_code(weight.codes.row(row), i, format.bits)) * x[i];
    }
    const float scale = unit * load_scale(format.scale, weight.scales.row(row), begin / format.group);
    sum = std::fma(static_cast<float>(dot), scale * x_scales[begin / kGroup], sum);
    begin = end;
  }
  if (affine) {
    for (uint32_t g = 0; g < weight.cols / format.group; ++g) {
      sum = std::fma(load_scale(format.scale, weight.biases.row(row), g), x_sums[g], sum);
    }
  }
  return sum * weight.global_scale;
}

}  // namespace

void int8_rows(const kernel::Int8Job& job) noexcept {
  for (uint32_t r = job.row_begin; r < job.row_end; ++r) {
    for (uint32_t i = 0; i < job.column_count; ++i) {
      const size_t column = job.columns == nullptr ? i : job.columns[i];
      job.y[i * job.y_stride + r] =
          int8_dot(*job.weight, r, job.x.values + column * job.x.value_stride,
                   job.x.scales + column * job.x.scale_stride, job.x.sums + column * job.x.sum_stride);
    }
  }
}

namespace {

// The panel kernels' arithmetic for one row and column: units of 32 inputs (16 where the scales are that fine), each
// y = fma(dot, weight scale * activation scale, y), then the bias of a group when it ends. Two terms: dot = 256 * high + low.
float panel_dot(const kernel::Int8Job& job, uint32_t row, size_t column) noexcept {
  const WeightMatrix& weight = *job.weight;
  const WeightFormat& format = weight.format;
  const bool affine = format.codec == CodecId::kAffine;
  const bool two = job.x.low != nullptr;
  const int8_t* high = job.x.values + column * job.x.value_stride;
  const int8_t* low = two ? job.x.low + column * job.x.value_stride : nullptr;
  const float* x_scales = job.x.scales + column * job.x.scale_stride;
  const float* x_sums = job.x.sums + column * job.x.sum_stride;
  const float unit_scale = (affine ? 1.0F : 0.5F) / (two ? 256.0F : 1.0F);
  const uint32_t unit = std::min<uint32_t>(kGroup, format.group);
  uint8_t codes[kGroup];
  float y = 0.0F;
  for (uint32_t begin = 0; begin < weight.cols; begin += unit) {
    if (begin % kGroup == 0) load_panel_codes(weight, row, begin / kGroup, codes);
    int32_t dot = 0;
    for (uint32_t i = begin; i < std::min(weight.cols, begin + unit); ++i) {
      const int32_t x = two ? 256 * high[i] + low[i] : high[i];
      dot += integer_code(format.codec, codes[i % kGroup]) * x;
    }
    const PanelScale scale = load_panel_scale(weight, row, begin / format.group);
    y = std::fma(static_cast<float>(dot), scale.scale * (unit_scale * x_scales[begin / kGroup]), y);
    if (affine && (begin + unit) % format.group == 0)
      y = std::fma(scale.bias, x_sums[begin / format.group], y);
  }
  return y * weight.global_scale;
}

}  // namespace

void int8_panels(const kernel::Int8Job& job) noexcept {
  for (uint32_t r = job.row_begin; r < job.row_end; ++r) {
    for (uint32_t i = 0; i < job.column_count; ++i) {
      job.y[i * job.y_stride + r] = panel_dot(job, r, job.columns == nullptr ? i : job.columns[i]);
    }
  }
}

void decode_row(const WeightMatrix& weight, uint32_t row, float* out) noexcept {
  mach::decode_row(weight, row, {out, weight.cols});
}

}  // namespace mach::scalar
