// One table of all weight codecs, and the sizes that follow from a format: the only place that knows which bits, groups
// and scale types a codec may have and how many bytes a row of each plane takes. Constant data and pure functions.
//
// A row of codes is one little-endian bit stream: element i occupies bits [i * bits, (i + 1) * bits), least significant
// first. That covers MLX affine of every width, E2M1 pairs (even element in the low nibble), E4M3 bytes and plain floats.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "quant/weight.h"

namespace mach {

struct CodecRow {
  CodecId id;
  std::string_view name;
  std::span<const uint8_t> bits;  // allowed widths of a code
  std::span<const uint16_t>
      groups;  // allowed inputs per scale; empty where any number is allowed or none is used
  std::span<const ScaleType> scales;  // allowed scale types
  bool biases;                        // has a bias plane beside the scales
  bool row_blocks;                    // scales may be shared by several rows
};

namespace codec_lists {
inline constexpr uint8_t k32[] = {32};
inline constexpr uint8_t k16[] = {16};
inline constexpr uint8_t k8[] = {8};
inline constexpr uint8_t k4[] = {4};
inline constexpr uint8_t kAffineBits[] = {2, 3, 4, 5, 6, 8};
inline constexpr uint16_t kAffineGroups[] = {32, 64, 128};
inline constexpr uint16_t kGroup32[] = {32};
inline constexpr uint16_t kGroup16[] = {16};
inline constexpr ScaleType kNoScale[] = {ScaleType::kNone};
inline constexpr ScaleType kFloats[] = {ScaleType::kF32, ScaleType::kF16, ScaleType::kBF16};
inline constexpr ScaleType kPower[] = {ScaleType::kE8M0};
inline constexpr ScaleType kFp8[] = {ScaleType::kE4M3};
inline constexpr ScaleType kFp8Block[] = {ScaleType::kF32, ScaleType::kBF16, ScaleType::kE8M0};
}  // namespace codec_lists

// One row per CodecId, in enum order.
inline constexpr std::array<CodecRow, 8> kCodecs = {{
    {CodecId::kF32, "f32", codec_lists::k32, {}, codec_lists::kNoScale, false, false},
    {CodecId::kF16, "f16", codec_lists::k16, {}, codec_lists::kNoScale, false, false},
    {CodecId::kBF16, "bf16", codec_lists::k16, {}, codec_lists::kNoScale, false, false},
    {CodecId::kAffine, "affine", codec_lists::kAffineBits, codec_lists::kAffineGroups, codec_lists::kFloats,
     true, false},
    {CodecId::kMxFp4, "mxfp4", codec_lists::k4, codec_lists::kGroup32, codec_lists::kPower, false, false},
    {CodecId::kMxFp8, "mxfp8", codec_lists::k8, codec_lists::kGroup32, codec_lists::kPower, false, false},
    {CodecId::kNvFp4, "nvfp4", codec_lists::k4, codec_lists::kGroup16, codec_lists::kFp8, false, false},
    {CodecId::kFp8Block, "fp8", codec_lists::k8, {}, codec_lists::kFp8Block, false, true},
}};

constexpr const CodecRow& codec_row(CodecId id) noexcept { return kCodecs[static_cast<size_t>(id)]; }
const CodecRow* find_codec(std::string_view name) noexcept;

// "bf16", "affine 4-bit group 64 (bf16 scales)", "fp8 128x128 (f32 scales)".
std::string format_name(const WeightFormat& format);

// Throws Error{kUnsupported} unless the table allows the format, Error{kCorruptFile} unless `cols` fits its groups and
// packs into whole 32-bit words where the codec demands it. `what` names the tensor.
void check_format(const WeightFormat& format, uint32_t cols, std::string_view what);

// Bytes of one scale; 0 for kNone.
constexpr uint64_t scale_bytes(ScaleType type) noexcept {
  switch (type) {
    case ScaleType::kNone:
      return 0;
    case ScaleType::kF32:
      return 4;
    case ScaleType::kF16:
    case ScaleType::kBF16:
      return 2;
    case ScaleType::kE8M0:
    case ScaleType::kE4M3:
      return 1;
  }
  return 0;
}

// Bytes of one row of the code plane.
constexpr uint64_t row_bytes(const WeightFormat& format, uint64_t cols) noexcept {
  return (cols * format.bits + 7) / 8;
}

// Scales in one row of the scale plane (and of the bias plane). kFp8Block with group 0 has one scale for all columns.
constexpr uint64_t scales_per_row(const WeightFormat& format, uint64_t cols) noexcept {
  if (format.scale == ScaleType::kNone) return 0;
  return format.group == 0 ? 1 : (cols + format.group - 1) / format.group;
}
constexpr uint64_t scale_row_bytes(const WeightFormat& format, uint64_t cols) noexcept {
  return scales_per_row(format, cols) * scale_bytes(format.scale);
}

// The row of the scale plane that serves weight row `row`, and how many there are. block_rows 0: one serves all rows.
constexpr uint64_t scale_row(const WeightFormat& format, uint64_t row) noexcept {
  return format.block_rows == 0 ? 0 : row / format.block_rows;
}
constexpr uint64_t scale_rows(const WeightFormat& format, uint64_t rows) noexcept {
  if (format.scale == ScaleType::kNone || rows == 0) return 0;
  return scale_row(format, rows - 1) + 1;
}

// Bytes of all planes of a densely packed matrix.
constexpr uint64_t matrix_bytes(const WeightFormat& format, uint64_t rows, uint64_t cols) noexcept {
  const uint64_t planes = codec_row(format.codec).biases ? 2 : 1;
  return rows * row_bytes(format, cols) + planes * scale_rows(format, rows) * scale_row_bytes(format, cols);
}

}  // namespace mach
