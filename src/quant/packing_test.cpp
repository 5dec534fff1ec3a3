// Panel order: that nothing is lost on the way there and back, that both orders decode to the same values, and that the
// bytes lie where panel_layout.h says.
#include "quant/packing.h"

#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "mach/error.h"

#include "quant/decode.h"
#include "quant/encode.h"
#include "quant/validate.h"

namespace mach {
namespace {

std::vector<WeightFormat> panel_formats() {
  std::vector<WeightFormat> formats;
  for (const uint8_t bits : {2, 4, 8}) {
    for (const uint16_t group : {32, 64, 128}) {
      for (const ScaleType scale : {ScaleType::kF32, ScaleType::kF16, ScaleType::kBF16}) {
        formats.push_back({CodecId::kAffine, scale, bits, group, 1});
      }
    }
  }
  formats.push_back({CodecId::kMxFp4, ScaleType::kE8M0, 4, 32, 1});
  formats.push_back({CodecId::kMxFp8, ScaleType::kE8M0, 8, 32, 1});
  formats.push_back({CodecId::kNvFp4, ScaleType::kE4M3, 4, 16, 1});
  for (const ScaleType scale : {ScaleType::kF32, ScaleType::kBF16, ScaleType::kE8M0}) {
    formats.push_back({CodecId::kFp8Block, scale, 8, 128, 128});
    formats.push_back({CodecId::kFp8Block, scale, 8, 256, 3});
  }
  return formats;
}

// Random numbers in all planes; E4M3 codes and scales without their NaN.
EncodedMatrix random_matrix(const WeightFormat& format, uint32_t rows, uint32_t cols, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, 0.05F);
  EncodedMatrix matrix(format, rows, cols);
  for (uint32_t r = 0; r < rows; r += format.block_rows) {
    const uint32_t count = std::min<uint32_t>(format.block_rows, rows - r);
    std::vector<float> block(size_t{count} * cols);
    for (float& w : block) w = normal(random);
    encode_block(format, block, cols, matrix.block(r));
  }
  return matrix;
}

std::vector<std::byte> packed(const WeightMatrix& matrix, WeightOrder order = WeightOrder::kPanels) {
  std::vector<std::byte> block(ordered_bytes(order, matrix.format, matrix.rows, matrix.cols),
                               std::byte{0xEE});
  reorder(matrix, order, block);
  return block;
}

WeightMatrix panels(const WeightMatrix& like, const std::vector<std::byte>& block) {
  return ordered_view(WeightOrder::kPanels, like.format, like.rows, like.cols, block.data(),
                      like.global_scale);
}

class EveryPanelFormat : public ::testing::TestWithParam<WeightFormat> {
 protected:
  // Inputs of one, two and many groups, stripes that end early, blocks cut short where the format allows it.
  static std::vector<uint32_t> widths() {
    const uint32_t step = GetParam().codec == CodecId::kFp8Block ? 8 : GetParam().group;
    return {step, 3 * step, 11 * step, 704, 2048};
  }
};

TEST_P(EveryPanelFormat, ComesBackBitForBit) {
  for (const uint32_t cols : widths()) {
    if (GetParam().codec != CodecId::kFp8Block && cols % GetParam().group != 0) continue;
    for (const uint32_t rows : {1U, 15U, 16U, 17U, 40U}) {
      const EncodedMatrix matrix = random_matrix(GetParam(), rows, cols, rows + cols);
      const auto block = packed(matrix.view());
      EXPECT_EQ(block.size() % kPackedAlignment, 0U);
      const auto back = packed(panels(matrix.view(), block), WeightOrder::kRows);
      ASSERT_EQ(back.size(), matrix.bytes().size());
      EXPECT_EQ(std::memcmp(back.data(), matrix.bytes().data(), back.size()), 0)
          << format_name(GetParam()) << ' ' << rows << " x " << cols;
    }
  }
}

TEST_P(EveryPanelFormat, DecodesToTheSameValues) {
  for (const uint32_t cols : widths()) {
    if (GetParam().codec != CodecId::kFp8Block && cols % GetParam().group != 0) continue;
    EncodedMatrix matrix = random_matrix(GetParam(), 19, cols, cols);
    matrix.set_global_scale(0.75F);
    const auto block = packed(matrix.view());
    std::vector<float> expected(cols);
    std::vector<float> decoded(cols);
    for (uint32_t r = 0; r < 19; ++r) {
      decode_row(matrix.view(), r, expected);
      decode_row(panels(matrix.view(), block), r, decoded);
      ASSERT_EQ(decoded, expected) << format_name(GetParam()) << " row " << r << " of " << cols;
    }
  }
}

TEST_P(EveryPanelFormat, RowsThatDoNotExistAreZerosAndCostNothingElse) {
  const EncodedMatrix matrix = random_matrix(GetParam(), 5, 512, 1);
  const EncodedMatrix whole = random_matrix(GetParam(), 16, 512, 1);
  const auto block = packed(matrix.view());
  EXPECT_EQ(block.size(), packed(whole.view()).size());
  WeightMatrix padded = panels(matrix.view(), block);
  padded.rows = 16;
  std::vector<float> row(512);
  for (uint32_t r = 5; r < 16; ++r) {
    decode_row(padded, r, row);
    EXPECT_EQ(row, std::vector<float>(512)) << "row " << r;
  }
}

TEST_P(EveryPanelFormat, PiecesEqualTheWhole) {
  const EncodedMatrix matrix = random_matrix(GetParam(), 70, 512, 3);
  const auto whole = packed(matrix.view());
  std::vector<std::byte> pieces(whole.size(), std::byte{0x11});
  pack_panels(matrix.view(), 3, 5, pieces);
  pack_panels(matrix.view(), 0, 3, pieces);
  EXPECT_EQ(pieces, whole);
}

TEST_P(EveryPanelFormat, NumbersAreCheckedInEitherOrder) {
  const EncodedMatrix matrix = random_matrix(GetParam(), 21, 512, 4);
  auto block = packed(matrix.view());
  EXPECT_FALSE(check_scales(panels(matrix.view(), block)).has_value());
  EXPECT_FALSE(check_codes(panels(matrix.view(), block)).has_value());
  // Scale 2 of the group that is first in panel 1, so of row 18.
  const uint64_t width = scale_bytes(GetParam().scale);
  std::memset(block.data() + panel_layout(GetParam(), 512).panel_bytes + 2 * width, 0xff, width);
  const auto bad = check_scales(panels(matrix.view(), block));
  ASSERT_TRUE(bad.has_value());
  EXPECT_EQ(bad->plane, BadNumber::Plane::kScales);
  EXPECT_EQ(bad->row, scale_row(GetParam(), 18));
  EXPECT_EQ(bad->index, 0U);
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryPanelFormat, ::testing::ValuesIn(panel_formats()));

// The documented places, written out once for every shape of a line.
uint8_t code_at(const WeightMatrix& matrix, uint32_t row, uint32_t col) {
  return static_cast<uint8_t>(load_code(matrix.codes.row(row), col, matrix.format.bits));
}

TEST(PanelLayout, FourBitsHaveTheUpperSixteenInputsInHighNibbles) {
  const WeightFormat format{CodecId::kAffine, ScaleType::kBF16, 4, 64, 1};
  const EncodedMatrix matrix = random_matrix(format, 32, 256, 5);
  const auto block = packed(matrix.view());
  // A stripe: two groups of scales and of biases (128 bytes), then 4 blocks of 4 lines.
  const PanelLayout layout = panel_layout(format, 256);
  EXPECT_EQ(layout.stripe_cols, 128U);
  EXPECT_EQ(layout.stripe_bytes, 128U + 1024U);
  EXPECT_EQ(layout.panel_bytes, 2U * 1152U);
  for (const uint32_t row : {0U, 7U, 29U}) {
    for (uint32_t col = 0; col < 256; ++col) {
      const uint32_t in_block = col % 32;
      const uint32_t line = in_block % 16 / 4;
      const size_t at = row / 16 * layout.panel_bytes + col / 128 * layout.stripe_bytes + 128 +
                        col % 128 / 32 * 256 + line * 64 + row % 16 * 4 + col % 4;
      const auto byte = static_cast<uint32_t>(block[at]);
      EXPECT_EQ(in_block < 16 ? byte & 15U : byte >> 4, code_at(matrix.view(), row, col)) << col;
    }
  }
  const std::byte* second_group = block.data() + layout.stripe_bytes + 32;  // group 3, row 0
  EXPECT_EQ(std::memcmp(second_group + 2 * 9, matrix.view().scales.row(9) + 2 * 3, 2), 0);
  EXPECT_EQ(std::memcmp(second_group + 64 + 2 * 9, matrix.view().biases.row(9) + 2 * 3, 2), 0);
}

TEST(PanelLayout, E4M3IsArrangedInPairs) {
  const WeightFormat format{CodecId::kMxFp8, ScaleType::kE8M0, 8, 32, 1};
  const EncodedMatrix matrix = random_matrix(format, 16, 128, 6);
  const auto block = packed(matrix.view());
  EXPECT_EQ(block.size(), 64U + 128U * 16U);
  for (uint32_t row = 0; row < 16; ++row) {
    for (uint32_t col = 0; col < 128; ++col) {
      const size_t at = 64 + col / 4 * 64 + row / 4 * 16 + col % 4 / 2 * 8 + row % 4 * 2 + col % 2;
      EXPECT_EQ(static_cast<uint8_t>(block[at]), code_at(matrix.view(), row, col));
    }
  }
}

TEST(PanelLayout, FullStripesAreWholeLines) {
  for (const WeightFormat& format : panel_formats()) {
    const PanelLayout layout = panel_layout(format, 4096);
    EXPECT_EQ(layout.stripe_bytes % 64, 0U) << format_name(format);
    EXPECT_GE(layout.stripe_cols, 128U);
    EXPECT_EQ(layout.panel_bytes, 4096 / layout.stripe_cols * uint64_t{layout.stripe_bytes});
  }
}

TEST(Packing, OddWidthsAndRowsStayInRows) {
  EXPECT_EQ(fast_order({CodecId::kAffine, ScaleType::kBF16, 4, 64, 1}), WeightOrder::kPanels);
  EXPECT_EQ(fast_order({CodecId::kAffine, ScaleType::kBF16, 3, 64, 1}), WeightOrder::kRows);
  EXPECT_EQ(fast_order({CodecId::kBF16, ScaleType::kNone, 16, 0, 1}), WeightOrder::kRows);
  EXPECT_EQ(fast_order({CodecId::kFp8Block, ScaleType::kF32, 8, 24, 3}), WeightOrder::kRows);
}

TEST(Packing, RefusesWhatDoesNotFit) {
  const WeightFormat format{CodecId::kAffine, ScaleType::kBF16, 3, 64, 1};
  const EncodedMatrix matrix = random_matrix(format, 4, 64, 1);
  std::vector<std::byte> block(1024);
  EXPECT_THROW(reorder(matrix.view(), WeightOrder::kPanels, block), Error);
  const EncodedMatrix four = random_matrix({CodecId::kAffine, ScaleType::kBF16, 4, 64, 1}, 4, 64, 1);
  EXPECT_THROW(reorder(four.view(), WeightOrder::kPanels, block), Error);
}

}  // namespace
}  // namespace mach
