#include "quant/eight_bit.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "mach/error.h"

#include "base/half.h"
#include "quant/decode.h"
#include "quant/encode.h"
#include "quant/packing.h"

namespace mach {
namespace {

constexpr float kLevels = 255.0F;

// The bf16 numbers next to a finite one, as fp32.
float bf16_at_most(float value) noexcept {
  const float cut = std::bit_cast<float>(std::bit_cast<uint32_t>(value) & 0xFFFF0000U);  // towards zero
  if (cut <= value) return cut;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(cut) + 0x10000U);
}
float bf16_at_least(float value) noexcept { return -bf16_at_most(-value); }

// One group of 64; plain loops over a fixed count, which compilers turn into vector instructions.
void encode_group(const float* values, std::byte* codes, std::byte* scale_at, std::byte* bias_at) noexcept {
  float low = values[0];
  float high = values[0];
  for (uint32_t i = 0; i < kEightBit.group; ++i) {
    low = values[i] < low ? values[i] : low;
    high = values[i] > high ? values[i] : high;
  }
  const float bias = bf16_at_most(low);
  const float scale = bf16_at_least((high - bias) / kLevels);
  store_unaligned(scale_at, f32_to_bf16(scale));
  store_unaligned(bias_at, f32_to_bf16(bias));
  const float inverse = scale > 0.0F ? 1.0F / scale : 0.0F;
  for (uint32_t i = 0; i < kEightBit.group; ++i) {
    // Not negative, so that adding a half and cutting rounds. What is not a number counts as the last level, too.
    const float level = (values[i] - bias) * inverse + 0.5F;
    codes[i] = static_cast<std::byte>(static_cast<int32_t>(level < kLevels ? level : kLevels));
  }
}

}  // namespace

void encode_eight_bit_panels(const WeightMatrix& source, uint32_t first, uint32_t last,
                             std::span<std::byte> out) {
  if (source.order != WeightOrder::kRows || !can_be_eight_bit(source.format, source.cols) ||
      last > panel_count(source.rows) ||
      out.size() != ordered_bytes(WeightOrder::kPanels, kEightBit, source.rows, source.cols)) {
    throw Error(ErrorCode::kInternal, "8-bit panels: not whole groups of floats, or memory of another size");
  }
  std::vector<float> row(source.cols);
  for (uint32_t panel = first; panel < last; ++panel) {
    const uint32_t begin = panel * kPanelRows;
    const uint32_t rows = std::min(kPanelRows, source.rows - begin);
    EncodedMatrix encoded(kEightBit, rows, source.cols);
    for (uint32_t r = 0; r < rows; ++r) {
      decode_row(source, begin + r, row);
      const EncodedBlock to = encoded.block(r);
      for (uint32_t c = 0; c < source.cols; c += kEightBit.group) {
        const uint32_t scale = 2 * (c / kEightBit.group);
        encode_group(row.data() + c, to.codes + c, to.scales + scale, to.biases + scale);
      }
    }
    const uint64_t bytes = ordered_bytes(WeightOrder::kPanels, kEightBit, rows, source.cols);
    pack_panels(encoded.view(), 0, 1, out.subspan(panel * bytes, bytes));
  }
}

}  // namespace mach
