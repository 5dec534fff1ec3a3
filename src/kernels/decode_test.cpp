// Decoding of weight rows: every set gives the bits of quant/decode.h, for every format, at odd addresses, and reads
// nothing beyond its planes (which end where their mapping ends).
#include "quant/decode.h"

#include <gtest/gtest.h>

#include "kernels/kernel_test_support.h"

namespace mach::testing {
namespace {

class DecodeKernelTest : public KernelSetTest {};

void expect_rows_equal(const KernelSet& set, const WeightMatrix& weight) {
  std::vector<float> expected(weight.cols);
  GuardedFloats actual(weight.cols);
  for (uint32_t r = 0; r < weight.rows; ++r) {
    SCOPED_TRACE(::testing::Message()
                 << format_name(weight.format) << ", " << weight.cols << " columns, row " << r);
    decode_row(weight, r, expected);
    set.find_format(weight.format)->decode(weight, r, actual.get());
    ASSERT_TRUE(same_bits(actual.span(), expected));
    ASSERT_TRUE(actual.guard_intact());
  }
}

TEST_P(DecodeKernelTest, EqualsTheReferenceForEveryFormatAndLength) {
  uint32_t seed = 1;
  for (const WeightFormat& format : all_formats()) {
    const uint32_t step = column_step(format);
    for (uint32_t cols = step; cols <= 20 * step && cols <= 700; cols += step) {
      ++seed;
      const RandomMatrix matrix(format, 4, cols, seed, seed % 7);
      expect_rows_equal(kernels(), matrix.view());
    }
  }
}

TEST_P(DecodeKernelTest, EqualsTheReferenceForEveryCode) {
  // 8-bit codes in order: all of E4M3 with all kinds of scales; the affine codec takes the same bytes as its codes.
  for (const WeightFormat format : {WeightFormat{CodecId::kFp8Block, ScaleType::kE8M0, 8, 16, 1},
                                    WeightFormat{CodecId::kMxFp8, ScaleType::kE8M0, 8, 32, 1},
                                    WeightFormat{CodecId::kAffine, ScaleType::kF16, 8, 32, 1},
                                    WeightFormat{CodecId::kNvFp4, ScaleType::kE4M3, 4, 16, 1}}) {
    RandomMatrix matrix(format, 3, 512, 11);
    auto* codes = const_cast<std::byte*>(matrix.view().codes.data);
    for (size_t i = 0; i < 3 * row_bytes(format, 512); ++i) codes[i] = static_cast<std::byte>(i);
    expect_rows_equal(kernels(), matrix.view());
  }
}

TEST_P(DecodeKernelTest, KeepsTheSmallestScales) {
  RandomMatrix matrix({CodecId::kMxFp4, ScaleType::kE8M0, 4, 32, 1}, 1, 64, 5);
  auto* scales = const_cast<std::byte*>(matrix.view().scales.data);
  scales[0] = std::byte{0};  // 2^-127, a subnormal
  scales[1] = std::byte{1};
  expect_rows_equal(kernels(), matrix.view());
  std::vector<float> row(64);
  kernels().find_format(matrix.view().format)->decode(matrix.view(), 0, row.data());
  EXPECT_TRUE(std::any_of(row.begin(), row.begin() + 32, [](float v) { return v != 0.0F; }));
}

TEST_P(DecodeKernelTest, AppliesTheMatrixScaleLast) {
  for (const WeightFormat& format : all_formats()) {
    RandomMatrix matrix(format, 2, 128, 3);
    matrix.view().global_scale = -0.3F;
    expect_rows_equal(kernels(), matrix.view());
  }
}

MACH_FOR_EACH_KERNEL_SET(DecodeKernelTest);

}  // namespace
}  // namespace mach::testing
