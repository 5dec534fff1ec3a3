#include "quant/eight_bit.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "mach/error.h"

#include "base/aligned_buffer.h"
#include "quant/decode.h"
#include "quant/encode.h"
#include "quant/packing.h"

namespace mach {
namespace {

constexpr WeightFormat kBf16{.codec = CodecId::kBF16, .bits = 16};

AlignedBuffer block_for(const WeightMatrix& source) {
  return AlignedBuffer(ordered_bytes(WeightOrder::kPanels, kEightBit, source.rows, source.cols),
                       kPackedAlignment);
}

WeightMatrix eight_bit(const WeightMatrix& source, const AlignedBuffer& block) {
  return ordered_view(WeightOrder::kPanels, kEightBit, source.rows, source.cols, block.data());
}

std::vector<float> normal(uint32_t count, float scale, float mean) {
  std::mt19937 random(7);
  std::normal_distribution<float> draw(mean, scale);
  std::vector<float> values(count);
  for (float& v : values) v = draw(random);
  return values;
}

class EightBit : public ::testing::TestWithParam<CodecId> {
 protected:
  static WeightFormat format() {
    return GetParam() == CodecId::kF32 ? WeightFormat() : WeightFormat{.codec = GetParam(), .bits = 16};
  }
};

// 19 rows: a panel that is not full. 192 inputs: a stripe that is not full.
TEST_P(EightBit, IsHalfAStepFromEveryWeight) {
  constexpr uint32_t kCols = 192;
  for (const float mean : {0.0F, 3.0F, -3.0F}) {
    const EncodedMatrix source = encode_matrix(format(), normal(19 * kCols, 0.02F, mean), kCols);
    AlignedBuffer block = block_for(source.view());
    encode_eight_bit_panels(source.view(), 0, 2, block.bytes());
    const WeightMatrix coded = eight_bit(source.view(), block);
    std::vector<float> want(kCols), got(kCols);
    for (uint32_t r = 0; r < 19; ++r) {
      decode_row(source.view(), r, want);
      decode_row(coded, r, got);
      for (uint32_t c = 0; c < kCols; ++c) {
        const PanelScale scale = load_panel_scale(coded, r, c / kEightBit.group);
        // Half a step, and the rounding of fp32 sums near the mean.
        ASSERT_LE(std::fabs(got[c] - want[c]), 0.5F * scale.scale + 1e-6F) << r << ' ' << c;
        const auto group = std::span(want).subspan(c / kEightBit.group * kEightBit.group, kEightBit.group);
        const auto [low, high] = std::minmax_element(group.begin(), group.end());
        // bf16 has 8 bits: the scale is rounded up by less than one part in 128, the bias down likewise.
        ASSERT_LE(scale.scale, ((*high - *low) + std::fabs(*low) / 128) / 255 * (1.0F + 1.0F / 128));
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Floats, EightBit, ::testing::Values(CodecId::kF32, CodecId::kF16, CodecId::kBF16));

TEST(EightBitPanels, KeepsConstantGroups) {
  std::vector<float> values(128, 0.0F);
  std::fill(values.begin() + 64, values.end(), -1.5F);
  const EncodedMatrix source = encode_matrix(kBf16, values, 128);
  AlignedBuffer block = block_for(source.view());
  encode_eight_bit_panels(source.view(), 0, 1, block.bytes());
  std::vector<float> got(128);
  decode_row(eight_bit(source.view(), block), 0, got);
  EXPECT_EQ(got, values);
}

TEST(EightBitPanels, TakesPanelsInAnyOrder) {
  const EncodedMatrix source = encode_matrix(kBf16, normal(50 * 64, 1.0F, 0.0F), 64);
  AlignedBuffer whole = block_for(source.view());
  AlignedBuffer parts = block_for(source.view());
  encode_eight_bit_panels(source.view(), 0, 4, whole.bytes());
  encode_eight_bit_panels(source.view(), 3, 4, parts.bytes());
  encode_eight_bit_panels(source.view(), 0, 3, parts.bytes());
  EXPECT_TRUE(std::ranges::equal(whole.bytes(), parts.bytes()));
}

// A damaged file may hold such weights; the result is arbitrary, but nothing overflows.
TEST(EightBitPanels, SurvivesWhatIsNotANumber) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float bad[] = {std::nanf(""), kInfinity, -kInfinity, 3e38F, -3e38F, 1e-44F};
  for (const float first : bad) {
    for (const float second : bad) {
      std::vector<float> values(64, 0.5F);
      values[0] = first;
      values[40] = second;
      const EncodedMatrix source = encode_matrix({}, values, 64);
      AlignedBuffer block = block_for(source.view());
      EXPECT_NO_THROW(encode_eight_bit_panels(source.view(), 0, 1, block.bytes()));
    }
  }
}

TEST(EightBitPanels, RefusesWhatDoesNotFit) {
  const EncodedMatrix source = encode_matrix(kBf16, normal(16 * 96, 1.0F, 0.0F), 96);
  std::vector<std::byte> memory(1 << 14);
  EXPECT_THROW(encode_eight_bit_panels(source.view(), 0, 1, memory), Error);
  const EncodedMatrix fits = encode_matrix(kBf16, normal(16 * 64, 1.0F, 0.0F), 64);
  EXPECT_THROW(encode_eight_bit_panels(fits.view(), 0, 1, memory), Error);
  AlignedBuffer block = block_for(fits.view());
  EXPECT_THROW(encode_eight_bit_panels(fits.view(), 0, 2, block.bytes()), Error);
}

}  // namespace
}  // namespace mach
