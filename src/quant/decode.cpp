#include "quant/decode.h"

#include <cmath>

#include "base/half.h"
#include "quant/codec.h"
#include "quant/packing.h"
#include "quant/small_floats.h"

namespace mach {

float load_scale(ScaleType type, const std::byte* scales, uint64_t index) noexcept {
  switch (type) {
    case ScaleType::kNone:
      return 1.0F;
    case ScaleType::kF32:
      return load_f32(scales + 4 * index);
    case ScaleType::kF16:
      return load_f16(scales + 2 * index);
    case ScaleType::kBF16:
      return load_bf16(scales + 2 * index);
    case ScaleType::kE8M0:
      return e8m0_to_f32(static_cast<uint8_t>(scales[index]));
    case ScaleType::kE4M3:
      return e4m3_to_f32(static_cast<uint8_t>(scales[index]));
  }
  return 1.0F;
}

uint32_t load_code(const std::byte* codes, uint64_t index, uint32_t bits) noexcept {
  const uint64_t first = index * bits;
  const auto shift = static_cast<uint32_t>(first % 8);
  uint32_t window = static_cast<uint8_t>(codes[first / 8]);
  if (shift + bits > 8) window |= static_cast<uint32_t>(static_cast<uint8_t>(codes[first / 8 + 1])) << 8;
  return (window >> shift) & ((1U << bits) - 1U);
}

namespace {

float decode_code(const WeightFormat& format, uint32_t code, float scale, float bias) noexcept {
  switch (format.codec) {
    case CodecId::kAffine:
      return std::fma(scale, static_cast<float>(code), bias);
    case CodecId::kMxFp4:
    case CodecId::kNvFp4:
      return e2m1_to_f32(code) * scale;
    default:
      return e4m3_to_f32(static_cast<uint8_t>(code)) * scale;
  }
}

void decode_quantised(const WeightMatrix& weight, uint32_t row, std::span<float> out) noexcept {
  const WeightFormat& format = weight.format;
  const std::byte* codes = weight.codes.row(row);
  const uint64_t scale_index = scale_row(format, row);
  const std::byte* scales = weight.scales.row(scale_index);
  const bool biased = codec_row(format.codec).biases;
  const uint64_t group = format.group == 0 ? out.size() : format.group;
  for (uint64_t begin = 0, g = 0; begin < out.size(); begin += group, ++g) {
    const float scale = load_scale(format.scale, scales, g);
    const float bias = biased ? load_scale(format.scale, weight.biases.row(scale_index), g) : 0.0F;
    for (uint64_t i = begin; i < out.size() && i < begin + group; ++i) {
      out[i] = decode_code(format, load_code(codes, i, format.bits), scale, bias);
    }
  }
}

void decode_from_panel(const WeightMatrix& weight, uint32_t row, std::span<float> out) noexcept {
  const WeightFormat& format = weight.format;
  uint8_t codes[kPanelBlockCols];
  PanelScale scale{};
  for (uint32_t i = 0; i < out.size(); ++i) {
    if (i % kPanelBlockCols == 0) load_panel_codes(weight, row, i / kPanelBlockCols, codes);
    if (i % format.group == 0) scale = load_panel_scale(weight, row, i / format.group);
    out[i] = decode_code(format, codes[i % kPanelBlockCols], scale.scale, scale.bias);
  }
}

void decode_from_rows(const WeightMatrix& weight, uint32_t row, std::span<float> out) noexcept {
  const std::byte* codes = weight.codes.row(row);
  switch (weight.format.codec) {
    case CodecId::kF32:
      for (size_t i = 0; i < out.size(); ++i) out[i] = load_f32(codes + 4 * i);
      break;
    case CodecId::kF16:
      for (size_t i = 0; i < out.size(); ++i) out[i] = load_f16(codes + 2 * i);
      break;
    case CodecId::kBF16:
      for (size_t i = 0; i < out.size(); ++i) out[i] = load_bf16(codes + 2 * i);
      break;
    default:
      decode_quantised(weight, row, out);
  }
}

}  // namespace

void decode_row(const WeightMatrix& weight, uint32_t row, std::span<float> out) noexcept {
  out = out.first(weight.cols);
  if (weight.order == WeightOrder::kPanels) {
    decode_from_panel(weight, row, out);
  } else {
    decode_from_rows(weight, row, out);
  }
  if (weight.global_scale != 1.0F) {
    for (float& w : out) w *= weight.global_scale;
  }
}

}  // namespace mach
