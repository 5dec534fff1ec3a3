// Dot products with rows and weighted sums of rows: every set against the scalar one bit for bit, and the scalar one
// against a sum in double precision.
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "kernels/kernel_test_support.h"
#include "kernels/scalar/scalar_kernels.h"

namespace mach::testing {
namespace {

enum class Element { kF32, kF16, kBF16 };

struct RowKernels {
  kernel::DotRows* dot;
  kernel::MixRows* mix;
};

RowKernels of_set(const KernelSet& set, Element element) {
  switch (element) {
    case Element::kF32:
      return {set.dot_rows_f32, set.mix_rows_f32};
    case Element::kF16:
      return {set.dot_rows_f16, set.mix_rows_f16};
    case Element::kBF16:
      break;
  }
  return {set.dot_rows_bf16, set.mix_rows_bf16};
}
RowKernels scalar_kernels(Element element) {
  return of_set(select_kernel_set(kNoFeatures, "scalar"), element);
}

// `count` rows of n random elements, `gap` bytes apart, ending at a page's end; at odd addresses where slack is odd.
class RandomRows {
 public:
  RandomRows(Element element, uint32_t count, uint32_t n, size_t gap, size_t slack, uint32_t seed)
      : element_(element), bytes_(count == 0 ? 0 : count * (n * width() + gap) - gap, slack) {
    rows_ = {bytes_.data(), n * width() + gap, count};
    const std::vector<float> values = random_floats(size_t{count} * n, seed);
    for (size_t r = 0; r < count; ++r) {
      for (size_t i = 0; i < n; ++i) store(bytes_.data() + r * rows_.stride + i * width(), values[r * n + i]);
    }
  }
  kernel::Rows rows() const { return rows_; }
  float at(size_t r, size_t i) const {
    const std::byte* p = rows_.data + r * rows_.stride + i * width();
    return element_ == Element::kF32 ? load_f32(p) : element_ == Element::kF16 ? load_f16(p) : load_bf16(p);
  }

 private:
  size_t width() const { return element_ == Element::kF32 ? 4 : 2; }
  void store(std::byte* p, float v) const {
    if (element_ == Element::kF32) store_unaligned(p, v);
    if (element_ == Element::kF16) store_unaligned(p, f32_to_f16(v));
    if (element_ == Element::kBF16) store_unaligned(p, f32_to_bf16(v));
  }
  Element element_;
  GuardedBytes bytes_;
  kernel::Rows rows_{};
};

constexpr Element kElements[] = {Element::kF32, Element::kF16, Element::kBF16};

class RowKernelTest : public KernelSetTest {};

// Columns that each end at a page's end.
struct Columns {
  Columns(uint32_t count, uint32_t n, uint32_t seed) {
    for (uint32_t c = 0; c < count; ++c) {
      floats.push_back(std::make_unique<GuardedFloats>(random_floats(n, seed + c)));
      pointers.push_back(floats.back()->get());
    }
  }
  std::vector<std::unique_ptr<GuardedFloats>> floats;
  std::vector<const float*> pointers;
};

void expect_dot_equals_scalar(const KernelSet& set, Element element, uint32_t rows, uint32_t columns,
                              uint32_t n, size_t gap, size_t slack) {
  SCOPED_TRACE(::testing::Message() << "element " << static_cast<int>(element) << ", " << rows << " rows, "
                                    << columns << " columns, n " << n);
  const RandomRows w(element, rows, n, gap, slack, 7 * n + rows);
  const Columns x(columns, n, 100 + n);
  const size_t stride = rows + 3;
  GuardedFloats expected(columns * stride, 77.0F);
  GuardedFloats actual(columns * stride, 77.0F);
  scalar_kernels(element).dot(w.rows(), n, x.pointers.data(), columns, expected.get(), stride);
  of_set(set, element).dot(w.rows(), n, x.pointers.data(), columns, actual.get(), stride);
  EXPECT_TRUE(same_bits(actual.span(), expected.span()));
  EXPECT_TRUE(actual.guard_intact());
}

TEST_P(RowKernelTest, DotEqualsScalarForEveryTail) {
  for (const Element element : kElements) {
    for (uint32_t n = 0; n <= 67; ++n) {
      expect_dot_equals_scalar(kernels(), element, 5, 4, n, n % 5 * (element == Element::kF32 ? 4 : 2) + 1,
                               n % 4);
    }
  }
}

TEST_P(RowKernelTest, DotEqualsScalarForEveryTileShape) {
  for (const Element element : kElements) {
    for (uint32_t rows = 0; rows <= 9; ++rows) {
      for (uint32_t columns = 0; columns <= 13; ++columns) {
        expect_dot_equals_scalar(kernels(), element, rows, columns, 37, 0, 0);
      }
    }
  }
}

TEST_P(RowKernelTest, DotEqualsScalarForLongRowsAndManyColumns) {
  for (const Element element : kElements) {
    for (const uint32_t n : {512U, 1100U}) {
      for (const uint32_t columns : {3U, 4U, 7U, 70U})
        expect_dot_equals_scalar(kernels(), element, 11, columns, n, 0, 0);
    }
  }
}

TEST_P(RowKernelTest, DotIsNearTheDoubleSum) {
  constexpr uint32_t kN = 1000;
  for (const Element element : kElements) {
    const RandomRows w(element, 3, kN, 0, 0, 1);
    const Columns x(1, kN, 2);
    float y[3];
    of_set(kernels(), element).dot(w.rows(), kN, x.pointers.data(), 1, y, 3);
    for (uint32_t r = 0; r < 3; ++r) {
      double sum = 0.0;
      double magnitude = 0.0;
      for (uint32_t i = 0; i < kN; ++i) {
        const double term = static_cast<double>(w.at(r, i)) * x.pointers[0][i];
        sum += term;
        magnitude += std::fabs(term);
      }
      // A lane adds n / 16 terms, the tree four more: each rounding is at most 2^-24 of the sum so far.
      EXPECT_NEAR(y[r], sum, (kN / 16.0 + 5) * 0x1p-24 * magnitude);
    }
  }
}

TEST_P(RowKernelTest, DotKeepsInfinityAndNaN) {
  std::vector<float> row = random_floats(40, 3);
  std::vector<float> column = random_floats(40, 4);
  row[33] = std::numeric_limits<float>::infinity();
  column[33] = 1.0F;
  EXPECT_EQ(kernels().dot(row, column), row[33]);
  column[33] = 0.0F;
  EXPECT_TRUE(std::isnan(kernels().dot(row, column)));
}

TEST_P(RowKernelTest, MixEqualsScalarForEveryTailAndShape) {
  for (const Element element : kElements) {
    for (uint32_t n = 0; n <= 80; n += n < 40 ? 1 : 8) {
      const uint32_t rows = n % 7 * 9;
      const uint32_t columns = 1 + n % 6;
      SCOPED_TRACE(::testing::Message() << "n " << n << ", " << rows << " rows, " << columns << " columns");
      const RandomRows v(element, rows, n, n % 3, n % 5, n);
      const std::vector<float> weights = random_floats(size_t{columns} * (rows + 2), n + 1);
      const size_t stride = n + 5;
      GuardedFloats expected(random_floats(columns * stride, 9));
      GuardedFloats actual(expected.values());
      scalar_kernels(element).mix(v.rows(), n, weights.data(), rows + 2, columns, expected.get(), stride);
      of_set(kernels(), element).mix(v.rows(), n, weights.data(), rows + 2, columns, actual.get(), stride);
      EXPECT_TRUE(same_bits(actual.span(), expected.span()));
      EXPECT_TRUE(actual.guard_intact());
    }
  }
}

TEST_P(RowKernelTest, MixMayBeSplitIntoCalls) {
  const RandomRows v(Element::kBF16, 77, 40, 0, 0, 5);
  const std::vector<float> weights = random_floats(77, 6);
  GuardedFloats whole(40);
  GuardedFloats split(40);
  kernels().mix_rows_bf16(v.rows(), 40, weights.data(), 77, 1, whole.get(), 40);
  const kernel::Rows all = v.rows();
  kernels().mix_rows_bf16({all.data, all.stride, 13}, 40, weights.data(), 77, 1, split.get(), 40);
  kernels().mix_rows_bf16({all.data + 13 * all.stride, all.stride, 64}, 40, weights.data() + 13, 77, 1,
                          split.get(), 40);
  EXPECT_TRUE(same_bits(whole.span(), split.span()));
}

MACH_FOR_EACH_KERNEL_SET(RowKernelTest);

}  // namespace
}  // namespace mach::testing
