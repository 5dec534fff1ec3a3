#include "quant/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mach/error.h"

namespace mach {
namespace {

using ::testing::HasSubstr;

constexpr WeightFormat kAffine4{CodecId::kAffine, ScaleType::kBF16, 4, 64, 1};

std::string refusal(const WeightFormat& format, uint32_t cols) {
  try {
    check_format(format, cols, "layers.0.q_proj");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Codec, TheTableIsInEnumOrderWithUniqueNames) {
  for (size_t i = 0; i < kCodecs.size(); ++i) {
    EXPECT_EQ(static_cast<size_t>(kCodecs[i].id), i);
    EXPECT_EQ(find_codec(kCodecs[i].name), &kCodecs[i]);
  }
  EXPECT_EQ(find_codec("q4_k"), nullptr);
}

TEST(Codec, SizesAreThoseOfTheFormats) {
  // Bytes per 256 weights as published: b bits 32 b + 1024 / group for affine with 16-bit scales, 136, 264, 144.
  const auto bytes = [](const WeightFormat& format) { return matrix_bytes(format, 1, 256); };
  for (const uint8_t bits : {2, 3, 4, 5, 6, 8}) {
    for (const uint16_t group : {32, 64, 128}) {
      EXPECT_EQ(bytes({CodecId::kAffine, ScaleType::kF16, bits, group, 1}), 32U * bits + 1024U / group);
    }
  }
  EXPECT_EQ(bytes({CodecId::kMxFp4, ScaleType::kE8M0, 4, 32, 1}), 136U);
  EXPECT_EQ(bytes({CodecId::kMxFp8, ScaleType::kE8M0, 8, 32, 1}), 264U);
  EXPECT_EQ(bytes({CodecId::kNvFp4, ScaleType::kE4M3, 4, 16, 1}), 144U);
  EXPECT_EQ(bytes({CodecId::kBF16, ScaleType::kNone, 16, 0, 1}), 512U);
  // 5 x 7 in blocks of 2 x 4: 3 x 2 scales, ragged on both edges.
  const WeightFormat fp8{CodecId::kFp8Block, ScaleType::kF32, 8, 4, 2};
  EXPECT_EQ(scales_per_row(fp8, 7), 2U);
  EXPECT_EQ(scale_rows(fp8, 5), 3U);
  EXPECT_EQ(matrix_bytes(fp8, 5, 7), 35U + 24U);
  const WeightFormat per_tensor{CodecId::kFp8Block, ScaleType::kF32, 8, 0, 0};
  EXPECT_EQ(matrix_bytes(per_tensor, 5, 7), 35U + 4U);
}

TEST(Codec, NamesSayWhatDistinguishesAFormat) {
  EXPECT_EQ(format_name(kAffine4), "affine 4-bit group 64 (bf16 scales)");
  EXPECT_EQ(format_name({CodecId::kBF16, ScaleType::kNone, 16, 0, 1}), "bf16");
  EXPECT_EQ(format_name({CodecId::kMxFp4, ScaleType::kE8M0, 4, 32, 1}), "mxfp4");
  EXPECT_EQ(format_name({CodecId::kFp8Block, ScaleType::kF32, 8, 128, 128}), "fp8 128x128 (f32 scales)");
}

TEST(Codec, AcceptsWhatTheTableHolds) {
  EXPECT_EQ(refusal(kAffine4, 128), "accepted");
  EXPECT_EQ(refusal({CodecId::kFp8Block, ScaleType::kF32, 8, 128, 128}, 7), "accepted");
  EXPECT_EQ(refusal({CodecId::kF32, ScaleType::kNone, 32, 0, 1}, 3), "accepted");
}

TEST(Codec, RefusesWithTheTensorAndTheReason) {
  EXPECT_THAT(refusal({CodecId::kAffine, ScaleType::kBF16, 7, 64, 1}, 128),
              "layers.0.q_proj: affine has 2, 3, 4, 5, 6, 8 bits, not 7");
  EXPECT_THAT(refusal({CodecId::kAffine, ScaleType::kBF16, 4, 48, 1}, 96),
              HasSubstr("groups of 32, 64, 128, not 48"));
  EXPECT_THAT(refusal({CodecId::kAffine, ScaleType::kE8M0, 4, 64, 1}, 128),
              HasSubstr("does not take e8m0 scales"));
  EXPECT_THAT(refusal({CodecId::kMxFp4, ScaleType::kE8M0, 4, 32, 2}, 128), HasSubstr("a scale per row"));
  EXPECT_THAT(refusal(kAffine4, 100), HasSubstr("100 inputs are no multiple of the group of 64"));
  EXPECT_THAT(refusal({static_cast<CodecId>(200), ScaleType::kNone, 32, 0, 1}, 8),
              HasSubstr("unknown codec"));
}

}  // namespace
}  // namespace mach
