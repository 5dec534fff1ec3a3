#include "quant/encode.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "mach/error.h"

#include "base/half.h"
#include "quant/codec.h"
#include "quant/decode.h"
#include "quant/small_floats.h"

namespace mach {
namespace {

void store_code(std::byte* codes, uint64_t index, uint32_t bits, uint32_t code) noexcept {
  const uint64_t first = index * bits;
  const auto shift = static_cast<uint32_t>(first % 8);
  const uint32_t mask = ((1U << bits) - 1U) << shift;
  uint32_t window = static_cast<uint8_t>(codes[first / 8]);
  const bool two = shift + bits > 8;
  if (two) window |= static_cast<uint32_t>(static_cast<uint8_t>(codes[first / 8 + 1])) << 8;
  window = (window & ~mask) | (code << shift);
  codes[first / 8] = static_cast<std::byte>(window);
  if (two) codes[first / 8 + 1] = static_cast<std::byte>(window >> 8);
}

void store_scale(ScaleType type, std::byte* scales, uint64_t index, float value) noexcept {
  switch (type) {
    case ScaleType::kF32:
      store_unaligned(scales + 4 * index, value);
      break;
    case ScaleType::kF16:
      store_unaligned(scales + 2 * index, f32_to_f16(value));
      break;
    case ScaleType::kBF16:
      store_unaligned(scales + 2 * index, f32_to_bf16(value));
      break;
    case ScaleType::kE4M3:
      scales[index] = static_cast<std::byte>(f32_to_e4m3(value));
      break;
    case ScaleType::kE8M0:  // `value` is a power of two between 2^-127 and 2^127
      scales[index] = static_cast<std::byte>(std::ilogb(value) + 127);
      break;
    case ScaleType::kNone:
      break;
  }
}

float stored_scale(ScaleType type, float value) noexcept {
  std::byte bytes[4];
  store_scale(type, bytes, 0, value);
  return load_scale(type, bytes, 0);
}

float largest_magnitude(std::span<const float> values) noexcept {
  float largest = 0.0F;
  for (const float v : values) largest = std::max(largest, std::fabs(v));
  return largest;
}

// MLX affine, one group. The extreme of larger magnitude becomes code 0, and zero becomes a code exactly.
void encode_affine_group(const WeightFormat& format, std::span<const float> group, uint64_t index,
                         const EncodedBlock& out, AffineRule rule) noexcept {
  const auto top = static_cast<float>((1U << format.bits) - 1U);
  const auto [low, high] = std::minmax_element(group.begin(), group.end());
  float scale = std::max((*high - *low) / top, 1e-7F);
  float edge = *low;
  if (std::fabs(*low) <= std::fabs(*high)) {
    scale = -scale;
    edge = *high;
  }
  float bias = 0.0F;
  const float zero = std::nearbyint(edge / scale);
  if (zero != 0.0F) {
    scale = edge / zero;
    bias = edge;
  }
  const uint64_t scale_index = index / format.group;
  store_scale(format.scale, out.scales, scale_index, scale);
  store_scale(format.scale, out.biases, scale_index, bias);
  if (rule == AffineRule::kRoundScaleFirst) {
    const float stored = stored_scale(format.scale, scale);
    // An f16 scale can vanish or overflow; then the codes are what the unrounded one gives.
    if (stored != 0.0F && std::isfinite(stored)) scale = stored;
    bias = stored_scale(format.scale, bias);
  }
  for (size_t i = 0; i < group.size(); ++i) {
    const float code = std::clamp(std::nearbyint((group[i] - bias) / scale), 0.0F, top);
    store_code(out.codes, index + i, format.bits, static_cast<uint32_t>(code));
  }
}

// The power of two nearest (in its exponent) to amax / largest, within E8M0.
float power_of_two_scale(float amax, float largest) noexcept {
  if (amax == 0.0F) return 0x1p-127F;
  const float exponent = std::clamp(std::round(std::log2(amax / largest)), -127.0F, 127.0F);
  return std::ldexp(1.0F, static_cast<int>(exponent));
}

void encode_float_group(const WeightFormat& format, std::span<const float> group, uint64_t index,
                        float global_scale, const EncodedBlock& out) noexcept {
  const bool fp4 = format.bits == 4;
  const float amax = largest_magnitude(group) / global_scale;
  const float largest = fp4 ? 6.0F : 448.0F;
  const float scale = format.scale == ScaleType::kE8M0 ? power_of_two_scale(amax, largest)
                                                       : stored_scale(format.scale, amax / largest);
  store_scale(format.scale, out.scales, index / format.group, scale);
  for (size_t i = 0; i < group.size(); ++i) {
    const float value = scale == 0.0F ? 0.0F : group[i] / global_scale / scale;
    store_code(out.codes, index + i, format.bits, fp4 ? f32_to_e2m1(value) : f32_to_e4m3(value));
  }
}

// One scale per block of rows and columns.
void encode_fp8_block(const WeightFormat& format, std::span<const float> block, uint32_t cols,
                      const EncodedBlock& out) {
  const size_t rows = block.size() / cols;
  const uint32_t group = format.group == 0 ? cols : format.group;
  for (uint32_t begin = 0; begin < cols; begin += group) {
    const uint32_t width = std::min(group, cols - begin);
    float amax = 0.0F;
    for (size_t r = 0; r < rows; ++r)
      amax = std::max(amax, largest_magnitude(block.subspan(r * cols + begin, width)));
    float scale = amax == 0.0F ? 1.0F : 1.0F / (448.0F / amax);
    if (format.scale == ScaleType::kE8M0) {
      scale = std::ldexp(1.0F, static_cast<int>(std::clamp(std::ceil(std::log2(scale)), -127.0F, 127.0F)));
    }
    store_scale(format.scale, out.scales, begin / group, scale);
    scale = stored_scale(format.scale, scale);
    for (size_t r = 0; r < rows; ++r) {
      for (uint32_t c = begin; c < begin + width; ++c) {
        out.codes[r * cols + c] = static_cast<std::byte>(f32_to_e4m3(block[r * cols + c] / scale));
      }
    }
  }
}

void encode_plain(const WeightFormat& format, std::span<const float> row, std::byte* codes) noexcept {
  for (size_t i = 0; i < row.size(); ++i) {
    if (format.codec == CodecId::kF32) store_unaligned(codes + 4 * i, row[i]);
    if (format.codec == CodecId::kF16) store_unaligned(codes + 2 * i, f32_to_f16(row[i]));
    if (format.codec == CodecId::kBF16) store_unaligned(codes + 2 * i, f32_to_bf16(row[i]));
  }
}

}  // namespace

void encode_block(const WeightFormat& format, std::span<const float> block, uint32_t cols,
                  const EncodedBlock& out, float global_scale, AffineRule rule) {
  switch (format.codec) {
    case CodecId::kF32:
    case CodecId::kF16:
    case CodecId::kBF16:
      encode_plain(format, block, out.codes);
      return;
    case CodecId::kFp8Block:
      encode_fp8_block(format, block, cols, out);
      return;
    case CodecId::kAffine:
    case CodecId::kMxFp4:
    case CodecId::kMxFp8:
    case CodecId::kNvFp4:
      break;
  }
  for (uint32_t i = 0; i < cols; i += format.group) {
    const auto group = block.subspan(i, format.group);
    if (format.codec == CodecId::kAffine) {
      encode_affine_group(format, group, i, out, rule);
    } else {
      encode_float_group(format, group, i, global_scale, out);
    }
  }
}

EncodedMatrix::EncodedMatrix(const WeightFormat& format, uint32_t rows, uint32_t cols)
    : buffer_(matrix_bytes(format, rows, cols)) {
  std::memset(buffer_.data(), 0, buffer_.size());
  view_.format = format;
  view_.rows = rows;
  view_.cols = cols;
  const EncodedBlock planes = block(0);
  view_.codes = {planes.codes, row_bytes(format, cols)};
  if (format.scale != ScaleType::kNone) view_.scales = {planes.scales, scale_row_bytes(format, cols)};
  if (codec_row(format.codec).biases) view_.biases = {planes.biases, scale_row_bytes(format, cols)};
}

EncodedBlock EncodedMatrix::block(uint32_t row) noexcept {
  const WeightFormat& format = view_.format;
  const uint64_t code_row = row_bytes(format, view_.cols);
  const uint64_t scale_bytes_of_row = scale_row_bytes(format, view_.cols);
  std::byte* scales = buffer_.data() + view_.rows * code_row;
  std::byte* biases = scales + scale_rows(format, view_.rows) * scale_bytes_of_row;
  const uint64_t at = scale_row(format, row) * scale_bytes_of_row;
  return {.codes = buffer_.data() + row * code_row, .scales = scales + at, .biases = biases + at};
}

EncodedMatrix encode_matrix(const WeightFormat& format, std::span<const float> values, uint32_t cols,
                            float global_scale, AffineRule rule) {
  check_format(format, cols, "encode_matrix");
  if (cols == 0 || values.size() % cols != 0)
    throw Error(ErrorCode::kInternal, "encode_matrix: not whole rows");
  const auto rows = static_cast<uint32_t>(values.size() / cols);
  EncodedMatrix matrix(format, rows, cols);
  matrix.set_global_scale(global_scale);
  const uint32_t step = format.block_rows == 0 ? std::max(rows, 1U) : format.block_rows;
  for (uint32_t r = 0; r < rows; r += step) {
    const size_t count = std::min(step, rows - r);
    encode_block(format, values.subspan(size_t{r} * cols, count * cols), cols, matrix.block(r), global_scale,
                 rule);
  }
  return matrix;
}

}  // namespace mach
