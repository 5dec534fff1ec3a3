// Panel order, to the byte. The same bytes stand in memory and in an expert sidecar, so this is a file format; version 1.
//
// A matrix [rows, cols] is ceil(rows / 16) panels of `panel_bytes` each, back to back; rows past the last are zeros. A
// panel is a sequence of stripes of `stripe_cols` inputs (the last may be shorter). A stripe is
//   scales   [groups of the stripe][16 rows], in the format's scale type
//   biases   the same shape and type, where the codec has biases
//   zeros    up to a multiple of 64 bytes
//   codes    [ceil(inputs of the stripe / 32)] blocks of 32 inputs x 16 rows = 64 * bits bytes
// Codes past the last input are zeros. A block is `bits` lines of 64 bytes; byte 4 r + k of line j holds, for row r and
// field f (bits [f * bits, (f + 1) * bits) of the byte), the code of input 4 (f * bits + j) + k. So a line is the operand
// of a dot product of fours (vpdpbusd: 16 rows x 4 bytes), and fields are taken out with a shift and a mask:
//   8 bits   line j: inputs 4 j ... 4 j + 3
//   4 bits   line j: inputs 4 j ... in the low nibbles, inputs 16 + 4 j ... in the high ones
//   2 bits   line j: inputs 4 j, 8 + 4 j, 16 + 4 j, 24 + 4 j, from the lowest field on
// E4M3 codes are widened to 16 bits and multiplied in pairs, within 128-bit lanes. Their lines hold the same 4 inputs x 16
// rows, but in 16-byte pieces of 4 rows: first inputs 0 and 1 of the four rows, then inputs 2 and 3:
//   byte 16 (r / 4) + 8 (k / 2) + 2 (r % 4) + k % 2.
//
// A stripe is long enough (128 inputs or more) that its scales fill whole cache lines: reading a panel is reading one
// stream of lines. kFp8Block scales, which rows share, are written once for every row.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/checked_math.h"
#include "quant/codec.h"
#include "quant/weight.h"

namespace mach {

inline constexpr uint32_t kPanelLayoutVersion = 1;
inline constexpr uint32_t kPanelRows = 16;
inline constexpr uint32_t kPanelLine = 64;       // bytes
inline constexpr uint32_t kPanelBlockCols = 32;  // inputs of a block of codes

// Whether panel order is defined for a format: codes of 2, 4 or 8 bits with scales of whole blocks of inputs.
constexpr bool has_panel_order(const WeightFormat& format) noexcept {
  switch (format.codec) {
    case CodecId::kAffine:
      return format.bits == 2 || format.bits == 4 || format.bits == 8;
    case CodecId::kMxFp4:
    case CodecId::kNvFp4:
    case CodecId::kMxFp8:
      return true;
    case CodecId::kFp8Block:
      return format.group != 0 && format.group % 128 == 0;
    default:
      return false;
  }
}

// Whether lines are arranged for pairs of 16-bit products.
constexpr bool panel_pairs(CodecId codec) noexcept {
  return codec == CodecId::kMxFp8 || codec == CodecId::kFp8Block;
}

// The sizes that follow from a format with panel order and a number of inputs.
struct PanelLayout {
  uint32_t stripe_cols = 0;   // inputs of a full stripe
  uint32_t planes = 1;        // 2 with biases
  uint32_t group_bytes = 0;   // 16 scales
  uint32_t block_bytes = 0;   // codes of 32 inputs
  uint32_t stripe_bytes = 0;  // of a full stripe
  uint64_t panel_bytes = 0;

  // Of a stripe with `groups` groups: bytes before its codes.
  constexpr uint32_t header_bytes(uint32_t groups) const noexcept {
    return static_cast<uint32_t>(round_up(uint64_t{groups} * group_bytes * planes, kPanelLine));
  }
};

constexpr PanelLayout panel_layout(const WeightFormat& format, uint32_t cols) noexcept {
  PanelLayout layout;
  layout.planes = codec_row(format.codec).biases ? 2 : 1;
  layout.group_bytes = static_cast<uint32_t>(kPanelRows * scale_bytes(format.scale));
  layout.block_bytes = kPanelLine * format.bits;
  const auto header = [&](uint32_t inputs) {
    return inputs / format.group * layout.group_bytes * layout.planes;
  };
  layout.stripe_cols = std::max<uint32_t>(128, format.group);
  while (header(layout.stripe_cols) % kPanelLine != 0) layout.stripe_cols *= 2;
  layout.stripe_bytes =
      header(layout.stripe_cols) + layout.stripe_cols / kPanelBlockCols * layout.block_bytes;

  layout.panel_bytes = uint64_t{cols / layout.stripe_cols} * layout.stripe_bytes;
  if (const uint32_t rest = cols % layout.stripe_cols; rest != 0) {
    const auto groups = static_cast<uint32_t>(ceil_div(rest, format.group));
    layout.panel_bytes += layout.header_bytes(groups) + ceil_div(rest, kPanelBlockCols) * layout.block_bytes;
  }
  return layout;
}

// A stripe within a panel: which inputs, and where its parts begin (bytes from the start of the panel).
struct PanelStripe {
  uint32_t first_col, cols;  // cols: inputs that exist
  uint32_t first_group, groups;
  uint64_t scales, biases, codes;
};

constexpr uint32_t stripe_count(const PanelLayout& layout, uint32_t cols) noexcept {
  return static_cast<uint32_t>(ceil_div(cols, layout.stripe_cols));
}
constexpr PanelStripe panel_stripe(const PanelLayout& layout, const WeightFormat& format, uint32_t cols,
                                   uint32_t index) noexcept {
  PanelStripe stripe{};
  stripe.first_col = index * layout.stripe_cols;
  stripe.cols = std::min(layout.stripe_cols, cols - stripe.first_col);
  stripe.first_group = stripe.first_col / format.group;
  stripe.groups = static_cast<uint32_t>(ceil_div(stripe.cols, format.group));
  stripe.scales = uint64_t{index} * layout.stripe_bytes;
  stripe.biases = stripe.scales + uint64_t{stripe.groups} * layout.group_bytes;
  stripe.codes = stripe.scales + layout.header_bytes(stripe.groups);
  return stripe;
}

}  // namespace mach
