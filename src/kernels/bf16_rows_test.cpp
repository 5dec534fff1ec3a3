// Products with bf16 activations, of the sets that have them: near the exact product for every tail, the same bits for any tile,
// thread, batch and place in memory.
#include <cmath>

#include <gtest/gtest.h>

#include "kernels/kernel_test_support.h"
#include "kernels/product.h"
#include "quant/decode.h"

namespace mach::testing {
namespace {

constexpr WeightFormat kBf16{CodecId::kBF16, ScaleType::kNone, 16, 0, 1};

class Bf16RowsTest : public KernelSetTest {
 protected:
  void SetUp() override {
    if (kernels().find_format(kBf16)->bf16_rows == nullptr) GTEST_SKIP() << "no bf16 products";
  }
  ThreadPool one_{1};
  ThreadPool three_{3};
};

std::vector<float> product_of(Compute& compute, const WeightMatrix& weight, const Activations& x,
                              bool two_terms, std::span<const uint32_t> columns = {}) {
  const size_t count = columns.empty() ? x.count() : columns.size();
  GuardedFloats y(count * weight.rows, 99.0F);
  multiply(compute, Product{.weight = &weight,
                            .x = &x,
                            .columns = columns,
                            .y = y.get(),
                            .y_stride = weight.rows,
                            .two_terms = two_terms});
  EXPECT_TRUE(y.guard_intact());
  return y.values();
}

// Against the scalar set in exact mode. bf16 keeps 8 bits, the first of which is 1: half a unit of the last is at most 2^-8 of
// an activation, and the second term leaves 2^-8 of that. A lane of the kernel adds n / 32 steps of two products per term, a lane of the reference
// n / 16 products, and their trees four more: each addition rounds by at most 2^-24 of the magnitudes so far. Subnormal
// products and terms, which count as zero, are below 2^-126 each.
void expect_near_exact(Compute& compute, Compute& exact, uint32_t rows, uint32_t columns, uint32_t n,
                       bool two_terms) {
  SCOPED_TRACE(::testing::Message() << rows << " rows, " << columns << " columns, n " << n
                                    << (two_terms ? ", two terms" : ", one term"));
  const RandomMatrix matrix(kBf16, rows, n, n + rows, n % 5);
  const GuardedFloats x(random_floats(size_t{columns} * n, 100 + n));
  const Activations activations(x.get(), columns, n);
  const std::vector<float> y = product_of(compute, matrix.view(), activations, two_terms);
  const std::vector<float> wanted = product_of(exact, matrix.view(), activations, two_terms);
  const double additions = (two_terms ? n / 8.0 : n / 16.0) + 8 + n / 16.0 + 5;
  const double relative = (two_terms ? 0x1p-16 : 0x1p-8) + additions * 0x1p-24;
  std::vector<float> row(n);
  for (uint32_t r = 0; r < rows; ++r) {
    decode_row(matrix.view(), r, row);
    for (uint32_t c = 0; c < columns; ++c) {
      double magnitude = 0.0;
      for (uint32_t i = 0; i < n; ++i) magnitude += std::fabs(double{row[i]} * x.get()[size_t{c} * n + i]);
      ASSERT_NEAR(y[c * rows + r], wanted[c * rows + r], relative * magnitude + n * 0x1p-124)
          << "row " << r << " column " << c;
    }
  }
}

TEST_P(Bf16RowsTest, AreNearTheExactProductForEveryTail) {
  Compute compute(one_, kernels(), Numerics::kFast);
  Compute exact(one_, select_kernel_set(kNoFeatures, "scalar"), Numerics::kExact);
  for (const bool two_terms : {false, true}) {
    for (uint32_t n = 1; n <= 67; ++n) {
      expect_near_exact(compute, exact, 9, 1, n, two_terms);
      expect_near_exact(compute, exact, 5, 7, n, two_terms);
    }
    for (const uint32_t n : {512U, 1024U, 1025U, 2900U}) {
      expect_near_exact(compute, exact, 35, 2, n, two_terms);
      expect_near_exact(compute, exact, 35, 68, n, two_terms);
    }
  }
}

TEST_P(Bf16RowsTest, AreNearTheExactProductForEveryTileShape) {
  Compute compute(one_, kernels(), Numerics::kFast);
  Compute exact(one_, select_kernel_set(kNoFeatures, "scalar"), Numerics::kExact);
  for (uint32_t rows = 1; rows <= 18; ++rows) {
    for (uint32_t columns = 1; columns <= 11; ++columns)
      expect_near_exact(compute, exact, rows, columns, 45, columns % 2 == 0);
  }
}

TEST_P(Bf16RowsTest, DoNotDependOnThreadsBatchOrPlace) {
  constexpr uint32_t kRows = 150;
  constexpr uint32_t kColumns = 73;
  Compute alone(one_, kernels(), Numerics::kFast);
  Compute shared(three_, kernels(), Numerics::kFast);
  for (const uint32_t n : {61U, 1500U, 3000U}) {
    const RandomMatrix matrix(kBf16, kRows, n, 1, 7);  // every other row at an odd address
    AlignedBuffer copy(ordered_bytes(WeightOrder::kRows, kBf16, kRows, n));
    reorder(matrix.view(), WeightOrder::kRows, copy.bytes());
    const WeightMatrix dense = ordered_view(WeightOrder::kRows, kBf16, kRows, n, copy.data());
    const GuardedFloats x(random_floats(size_t{kColumns} * n, 10));
    for (const bool two_terms : {false, true}) {
      SCOPED_TRACE(::testing::Message() << "n " << n << (two_terms ? ", two terms" : ", one term"));
      const Activations activations(x.get(), kColumns, n);
      const std::vector<float> together = product_of(shared, matrix.view(), activations, two_terms);
      EXPECT_TRUE(same_bits(product_of(alone, dense, activations, two_terms), together));
      for (const uint32_t count : {1U, 2U, 3U, 4U, 5U, 6U, 29U}) {
        std::vector<uint32_t> columns(count);
        for (uint32_t i = 0; i < count; ++i) columns[i] = (5 * i + count) % kColumns;
        const std::vector<float> some = product_of(alone, matrix.view(), activations, two_terms, columns);
        for (uint32_t i = 0; i < count; ++i) {
          EXPECT_TRUE(same_bits(std::span(some).subspan(size_t{i} * kRows, kRows),
                                std::span(together).subspan(size_t{columns[i]} * kRows, kRows)))
              << "column " << columns[i] << " of " << count;
        }
      }
    }
  }
}

TEST_P(Bf16RowsTest, OneTermAndTwoOfTheSameActivationsDoNotDisturbEachOther) {
  Compute compute(one_, kernels(), Numerics::kFast);
  const RandomMatrix matrix(kBf16, 16, 77, 3);
  const std::vector<float> x = random_floats(77, 2);
  const auto fresh = [&](bool two_terms) {
    return product_of(compute, matrix.view(), Activations(x.data(), 1, 77), two_terms);
  };
  const Activations kept(x.data(), 1, 77);
  for (const bool two_terms : {false, true, false})
    EXPECT_TRUE(same_bits(product_of(compute, matrix.view(), kept, two_terms), fresh(two_terms)));
  EXPECT_FALSE(same_bits(fresh(false), fresh(true)));
}

TEST_P(Bf16RowsTest, NumbersThatAreNoneShowInTheirColumnAndOnlyThere) {
  Compute compute(one_, kernels(), Numerics::kFast);
  const RandomMatrix matrix(kBf16, 8, 100, 4);
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    for (const bool two_terms : {false, true}) {
      std::vector<float> x = random_floats(200, 2);
      x[99] = bad;
      const std::vector<float> y =
          product_of(compute, matrix.view(), Activations(x.data(), 2, 100), two_terms);
      for (uint32_t r = 0; r < 8; ++r) {
        EXPECT_FALSE(std::isfinite(y[r]));
        EXPECT_TRUE(std::isfinite(y[8 + r]));
      }
    }
  }
}

MACH_FOR_EACH_KERNEL_SET(Bf16RowsTest);

}  // namespace
}  // namespace mach::testing
