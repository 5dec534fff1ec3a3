#include "quant/validate.h"

#include <cstring>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

#include "base/half.h"
#include "quant/codec.h"
#include "quant/encode.h"

namespace mach {
namespace {

using ::testing::HasSubstr;
using Plane = BadNumber::Plane;

// A good matrix whose planes can be damaged.
struct Damaged {
  explicit Damaged(const WeightFormat& format, uint32_t rows = 5, uint32_t cols = 512)
      : matrix(encode_matrix(format, std::vector<float>(size_t{rows} * cols, 0.5F), cols)),
        weight(matrix.view()) {}
  // Writable, since the matrix owns its bytes and outlives the view.
  static std::byte* writable(const std::byte* p) { return const_cast<std::byte*>(p); }
  EncodedMatrix matrix;
  WeightMatrix weight;
};

void expect_found(const std::optional<BadNumber>& bad, Plane plane, uint64_t row, uint64_t index) {
  ASSERT_TRUE(bad.has_value());
  EXPECT_EQ(bad->plane, plane);
  EXPECT_EQ(bad->row, row);
  EXPECT_EQ(bad->index, index);
}

template <class T>
void expect_scale_found(const WeightFormat& format, T bits) {
  Damaged d(format);
  EXPECT_FALSE(check_scales(d.weight)) << format_name(format);
  const uint64_t count = scales_per_row(format, d.weight.cols);
  const uint64_t row = scale_rows(format, 5) - 1;
  store_unaligned(Damaged::writable(d.weight.scales.row(row)) + (count - 1) * sizeof(T), bits);
  expect_found(check_scales(d.weight), Plane::kScales, row, count - 1);
  store_unaligned(Damaged::writable(d.weight.scales.row(0)) + sizeof(T), bits);
  expect_found(check_scales(d.weight), Plane::kScales, 0, 1);
}

TEST(Validate, FindsTheFirstBadScaleOfEveryType) {
  const auto affine = [](ScaleType scale) { return WeightFormat{CodecId::kAffine, scale, 4, 64, 1}; };
  expect_scale_found<uint16_t>(affine(ScaleType::kBF16), 0x7f80);  // infinity
  expect_scale_found<uint16_t>(affine(ScaleType::kBF16), 0xffc0);  // NaN
  expect_scale_found<uint16_t>(affine(ScaleType::kF16), 0x7c01);   // NaN
  expect_scale_found<uint32_t>(affine(ScaleType::kF32), 0xff800000U);
  expect_scale_found<uint8_t>({CodecId::kMxFp4, ScaleType::kE8M0, 4, 32, 1}, 0xff);
  expect_scale_found<uint8_t>({CodecId::kNvFp4, ScaleType::kE4M3, 4, 16, 1}, 0xff);
  expect_scale_found<uint8_t>({CodecId::kNvFp4, ScaleType::kE4M3, 4, 16, 1}, 0x7f);
  expect_scale_found<uint32_t>({CodecId::kFp8Block, ScaleType::kF32, 8, 128, 2}, 0x7fc00000U);
}

TEST(Validate, FindsABadBias) {
  Damaged d({CodecId::kAffine, ScaleType::kF16, 4, 64, 1});
  store_unaligned<uint16_t>(Damaged::writable(d.weight.biases.row(3)) + 4, 0xfc00);
  expect_found(check_scales(d.weight), Plane::kBiases, 3, 2);
}

TEST(Validate, FindsACodeThatIsNoNumber) {
  for (const WeightFormat format : {WeightFormat{CodecId::kMxFp8, ScaleType::kE8M0, 8, 32, 1},
                                    WeightFormat{CodecId::kFp8Block, ScaleType::kF32, 8, 128, 128}}) {
    Damaged d(format);
    EXPECT_FALSE(check_codes(d.weight));
    Damaged::writable(d.weight.codes.row(2))[511] = std::byte{0xff};
    expect_found(check_codes(d.weight), Plane::kCodes, 2, 511);
  }
  Damaged d({CodecId::kBF16, ScaleType::kNone, 16, 0, 1}, 2, 5000);
  EXPECT_FALSE(check_codes(d.weight));
  store_unaligned<uint16_t>(Damaged::writable(d.weight.codes.row(1)) + 2 * 4999, 0x7fc0);
  expect_found(check_codes(d.weight), Plane::kCodes, 1, 4999);
}

TEST(Validate, IntegerCodesCannotBeWrong) {
  Damaged d({CodecId::kAffine, ScaleType::kF16, 8, 64, 1});
  std::memset(Damaged::writable(d.weight.codes.data), 0xff, 5 * 512);
  EXPECT_FALSE(check_codes(d.weight));
}

TEST(Validate, AGlobalScaleOfZeroIsOnlyForAllZeroMatrices) {
  Damaged d({CodecId::kNvFp4, ScaleType::kE4M3, 4, 16, 1});
  d.weight.global_scale = std::numeric_limits<float>::infinity();
  expect_found(check_scales(d.weight), Plane::kGlobalScale, 0, 0);
  d.weight.global_scale = 0.0F;
  expect_found(check_scales(d.weight), Plane::kGlobalScale, 0, 0);
  std::memset(Damaged::writable(d.weight.codes.data), 0x08, 5 * 256);  // zeros, some of them negative
  EXPECT_FALSE(check_scales(d.weight));
}

TEST(Validate, NamesTheTensorAndThePlace) {
  Damaged d({CodecId::kMxFp4, ScaleType::kE8M0, 4, 32, 1});
  EXPECT_NO_THROW(check_numbers(d.weight, "experts.3.up"));
  Damaged::writable(d.weight.scales.row(4))[7] = std::byte{0xff};
  try {
    check_numbers(d.weight, "experts.3.up");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
    EXPECT_STREQ(error.what(), "experts.3.up (mxfp4): scale [4, 7] is not a finite number");
  }
}

}  // namespace
}  // namespace mach
