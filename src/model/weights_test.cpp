// Binding of hand-written plans to a small file: strides, transposition, added constants, ids, and views that
// do not fit.
#include "model/weights.h"

#include <array>
#include <numeric>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "mach/error.h"

#include "base/half.h"
#include "io/safetensors_writer.h"
#include "kernels/kernel_set.h"
#include "quant/decode.h"
#include "quant/eight_bit.h"
#include "quant/packing.h"
#include "support/temp_dir.h"

namespace mach {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr WeightFormat kBf16{.codec = CodecId::kBF16, .bits = 16};

// model.safetensors with "m" bf16 [4, 6] = 0..23, "ids" i64 [2, 2], "v" f32 [4], "wide" bf16 [17, 64] with value r + c / 64, and
// "nan" u8 [1] = 0xff.
class WeightStoreTest : public ::testing::Test {
 protected:
  WeightStoreTest() {
    std::array<uint16_t, 24> m{};
    for (size_t i = 0; i < m.size(); ++i) m[i] = f32_to_bf16(static_cast<float>(i));
    const std::array<int64_t, 4> ids = {0, 3, 2, 1};
    const std::array<uint8_t, 1> nan = {0xff};
    const std::array<float, 4> v = {0.5F, 1.5F, 2.5F, 3.5F};
    std::vector<uint16_t> wide(size_t{17} * 64);
    for (size_t i = 0; i < wide.size(); ++i) wide[i] = f32_to_bf16(static_cast<float>(i) / 64.0F);
    const TensorData tensors[] = {{{"ids", DType::kI64, {2, 2}}, std::as_bytes(std::span(ids))},
                                  {{"v", DType::kF32, {4}}, std::as_bytes(std::span(v))},
                                  {{"m", DType::kBF16, {4, 6}}, std::as_bytes(std::span(m))},
                                  {{"wide", DType::kBF16, {17, 64}}, std::as_bytes(std::span(wide))},
                                  {{"nan", DType::kU8, {1}}, std::as_bytes(std::span(nan))}};
    write_safetensors(dir_.path() / "model.safetensors", tensors);
    auto files = CheckpointFiles::open(dir_.path());
    for (const char* name : {"ids", "v", "m", "wide"}) {
      const CatalogEntry& entry = files.catalog().at(name);
      plan_.tensors.push_back({name, entry.shard, entry.offset, entry.size});
    }
    ff_offset_ = files.catalog().at("nan").offset;
  }

  WeightStore store() { return {CheckpointFiles::open(dir_.path()), plan_}; }

  static std::vector<float> row(const WeightMatrix& matrix, uint32_t r) {
    std::vector<float> out(matrix.cols);
    decode_row(matrix, r, out);
    return out;
  }

  template <class Action>
  static void expect_corrupt(Action action, const std::string& what) {
    try {
      action();
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
      EXPECT_THAT(error.what(), HasSubstr(what));
    }
  }

  testing::TempDir dir_;
  TensorPlan plan_;
  uint64_t ff_offset_ = 0;  // of the byte 0xff
};

TEST_F(WeightStoreTest, MatricesAreViewsWithTheirStride) {
  // Every other row of m, without its first column: rows 1 and 3, columns 1..5.
  plan_.matrices["odd"] = {
      .format = kBf16, .rows = 2, .cols = 5, .codes = {.tensor = 2, .offset = 14, .row_stride = 24}};
  auto weights = store();
  const WeightMatrix matrix = weights.matrix("odd");
  EXPECT_THAT(row(matrix, 0), ElementsAre(7, 8, 9, 10, 11));
  EXPECT_THAT(row(matrix, 1), ElementsAre(19, 20, 21, 22, 23));
}

TEST_F(WeightStoreTest, InFastModeRowsOfAModelThatIsNotSmallAreCopied) {
  plan_.matrices["odd"] = {
      .format = kBf16, .rows = 2, .cols = 5, .codes = {.tensor = 2, .offset = 14, .row_stride = 24}};
  plan_.matrices["even"] = {
      .format = kBf16, .rows = 2, .cols = 5, .codes = {.tensor = 2, .offset = 2, .row_stride = 24}};
  ThreadPool pool(2);
  uint64_t packed = 0;
  LoadOptions options{.numerics = Numerics::kFast,
                      .kernels = &select_kernel_set(kNoFeatures),
                      .pool = &pool,
                      .huge_pages_from = 1,
                      .progress = [&](uint64_t done, uint64_t /*total*/) { packed = done; }};
  WeightStore weights(CheckpointFiles::open(dir_.path()), plan_, options);
  const WeightMatrix mapped = weights.matrix("odd");
  EXPECT_EQ(mapped.codes.row_stride, 24U);
  EXPECT_EQ(weights.linear("odd", Precision::kExact).weight.codes.data, mapped.codes.data);
  const WeightMatrix odd = weights.linear("odd").weight;
  const WeightMatrix even = weights.linear("even").weight;
  EXPECT_EQ(packed, 40U);
  for (const WeightMatrix& copied : {odd, even}) {
    EXPECT_EQ(copied.order, WeightOrder::kRows);
    EXPECT_EQ(copied.codes.row_stride, 10U);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(copied.codes.data) % kPackedAlignment, 0U);
  }
  EXPECT_THAT(row(odd, 0), ElementsAre(7, 8, 9, 10, 11));
  EXPECT_THAT(row(odd, 1), ElementsAre(19, 20, 21, 22, 23));
  EXPECT_THAT(row(even, 0), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(row(even, 1), ElementsAre(13, 14, 15, 16, 17));

  for (const auto& [numerics, from] :
       {std::pair(Numerics::kExact, uint64_t{1}), std::pair(Numerics::kFast, kHugePagesFrom)}) {
    options.numerics = numerics;
    options.huge_pages_from = from;
    WeightStore stays(CheckpointFiles::open(dir_.path()), plan_, options);
    EXPECT_EQ(stays.linear("odd").weight.codes.data, stays.matrix("odd").codes.data);
  }
}

TEST_F(WeightStoreTest, WhatBearsEightBitsIsRoundedInFastMode) {
  plan_.matrices["wide"] = {.format = kBf16,
                            .rows = 17,
                            .cols = 64,
                            .codes = {.tensor = 3, .offset = 0, .row_stride = 128},
                            .eight_bit = true};
  plan_.matrices["narrow"] = {.format = kBf16,  // rows of 6 are no whole groups
                              .rows = 4,
                              .cols = 6,
                              .codes = {.tensor = 2, .offset = 0, .row_stride = 12},
                              .eight_bit = true};
  LoadOptions options{.numerics = Numerics::kFast, .kernels = &select_kernel_set(probe_cpu_features())};
  {
    WeightStore weights(CheckpointFiles::open(dir_.path()), plan_, options);
    const WeightMatrix floats = weights.matrix("wide");
    const WeightMatrix rounded = weights.linear("wide").weight;
    ASSERT_EQ(rounded.format, kEightBit);
    ASSERT_EQ(rounded.order, WeightOrder::kPanels);
    for (const uint32_t r : {0U, 15U, 16U}) {
      const auto want = row(floats, r);
      const auto got = row(rounded, r);
      // A row spans 1, so half of a 255th of it, and the scale may be rounded up by a part in 128.
      for (size_t c = 0; c < want.size(); ++c) EXPECT_NEAR(got[c], want[c], 0.5 / 255 * 1.01) << r;
    }
    EXPECT_EQ(weights.linear("narrow").weight.codes.data, weights.matrix("narrow").codes.data);
    EXPECT_EQ(weights.linear("wide", Precision::kExact).weight.codes.data, floats.codes.data);
  }
  for (const auto& [numerics, floats] : {std::pair(Numerics::kExact, FloatWeights::kEightBit),
                                         std::pair(Numerics::kFast, FloatWeights::kKeep)}) {
    options.numerics = numerics;
    options.float_weights = floats;
    WeightStore stays(CheckpointFiles::open(dir_.path()), plan_, options);
    EXPECT_EQ(stays.linear("wide").weight.codes.data, stays.matrix("wide").codes.data);
  }
}

TEST_F(WeightStoreTest, TransposedMatricesAreTurned) {
  // m as [cols = 4, rows = 6]; the even rows of its transpose.
  plan_.matrices["turned"] = {.format = kBf16,
                              .rows = 3,
                              .cols = 4,
                              .codes = {.tensor = 2, .offset = 0, .row_stride = 4},
                              .transposed = true,
                              .col_stride = 12};
  auto weights = store();
  const WeightMatrix matrix = weights.matrix("turned");
  EXPECT_THAT(row(matrix, 0), ElementsAre(0, 6, 12, 18));
  EXPECT_THAT(row(matrix, 2), ElementsAre(4, 10, 16, 22));
}

TEST_F(WeightStoreTest, VectorsBecomeFloatsWithTheirConstantAdded) {
  plan_.vectors["plain"] = {.type = CodecId::kF32, .tensor = 1, .count = 4, .stride = 4};
  plan_.vectors["column"] = {
      .type = CodecId::kBF16, .tensor = 2, .offset = 2, .count = 4, .stride = 12, .add = 1.0F};
  auto weights = store();
  EXPECT_THAT(weights.vector("plain"), ElementsAre(0.5F, 1.5F, 2.5F, 3.5F));
  EXPECT_THAT(weights.vector("column"), ElementsAre(2, 8, 14, 20));
  EXPECT_TRUE(weights.vector_or_empty("absent").empty());
}

TEST_F(WeightStoreTest, IdsAreHeldAgainstTheirLimit) {
  plan_.integers["ids"] = {.tensor = 0, .rows = 2, .cols = 2, .width = 8};
  auto weights = store();
  const IdTable table = weights.ids("ids", 4);
  EXPECT_THAT(table.row(1), ElementsAre(2, 1));
  expect_corrupt([&] { weights.ids("ids", 3); }, "ids: id 3 at 1 is not below 3");
}

TEST_F(WeightStoreTest, RowGroupsOfAMatrixWithOneScaleAreViews) {
  // Block rows 0: the fp32 number at the start of v serves all rows. The codes are any bytes of m.
  plan_.matrices["whole"] = {.format = {.codec = CodecId::kFp8Block,
                                        .scale = ScaleType::kF32,
                                        .bits = 8,
                                        .group = 0,
                                        .block_rows = 0},
                             .rows = 4,
                             .cols = 12,
                             .codes = {.tensor = 2, .offset = 0, .row_stride = 12},
                             .scales = PlaneRef{.tensor = 1, .offset = 0, .row_stride = 0}};
  auto weights = store();
  const WeightMatrix whole = weights.matrix("whole");
  const auto groups = weights.row_groups("whole", 2);
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(row(groups[1].weight, 0), row(whole, 2));
  EXPECT_EQ(groups[1].weight.codes.data, whole.codes.row(2));
}

TEST_F(WeightStoreTest, ScalesThatAreNoNumbersAreNamed) {
  // The byte 0xff among E8M0 scales is NaN; "ids" holds 0 and small numbers, so its bytes are good ones.
  WeightRef ref{.format = {.codec = CodecId::kMxFp4, .scale = ScaleType::kE8M0, .bits = 4, .group = 32},
                .rows = 1,
                .cols = 64,
                .codes = {.tensor = 2, .offset = 0, .row_stride = 32},
                .scales = PlaneRef{.tensor = 0, .offset = 0, .row_stride = 2}};
  plan_.matrices["good"] = ref;
  store().check_scales();
  ref.format = {.codec = CodecId::kMxFp8, .scale = ScaleType::kE8M0, .bits = 8, .group = 32};
  ref.cols = 32;
  ref.scales = PlaneRef{.tensor = 3, .offset = 0, .row_stride = 1};
  plan_.tensors.push_back(plan_.tensors[0]);
  plan_.tensors[3].name = "bad";
  plan_.tensors[3].offset = ff_offset_;
  plan_.tensors[3].size = 1;
  plan_.matrices["bad"] = ref;
  expect_corrupt([&] { store().check_scales(); }, "m: scale or bias 0 of row 0");
}

TEST_F(WeightStoreTest, ViewsBeyondTheirTensorAreRefused) {
  plan_.matrices["long"] = {
      .format = kBf16, .rows = 5, .cols = 6, .codes = {.tensor = 2, .offset = 0, .row_stride = 12}};
  plan_.matrices["far"] = {
      .format = kBf16, .rows = 1, .cols = 6, .codes = {.tensor = 2, .offset = 38, .row_stride = 12}};
  plan_.vectors["long"] = {.type = CodecId::kF32, .tensor = 1, .count = 5, .stride = 4};
  auto weights = store();
  expect_corrupt([&] { weights.matrix("long"); }, "tensor m has 48 bytes, 60 are needed");
  expect_corrupt([&] { weights.matrix("far"); }, "tensor m");
  expect_corrupt([&] { weights.vector("long"); }, "tensor v");
}

}  // namespace
}  // namespace mach
