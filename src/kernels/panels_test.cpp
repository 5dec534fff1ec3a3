// multiply() with matrices in panel order, for every set and format: that it is what rows order gives (bit for bit where
// arithmetic is fp32, within the rounding of activations where it is int8), the same bits on every set, and independent of
// threads, batch and neighbours.
#include <cmath>

#include <gtest/gtest.h>

#include "kernels/kernel_test_support.h"
#include "kernels/product.h"
#include "quant/decode.h"

namespace mach::testing {
namespace {

std::vector<WeightFormat> panel_formats() {
  std::vector<WeightFormat> formats;
  for (const WeightFormat& format : all_formats()) {
    if (has_panel_order(format)) formats.push_back(format);
  }
  return formats;
}

struct Case {
  bool exact = false;
  bool two_terms = false;
  std::span<const uint32_t> columns = {};
  const float* bias = nullptr;
};

std::vector<float> product_of(Compute& compute, const WeightMatrix& weight, const Activations& x,
                              const Case& how = {}) {
  const size_t count = how.columns.empty() ? x.count() : how.columns.size();
  GuardedFloats y(count * weight.rows, 99.0F);
  multiply(compute, Product{.weight = &weight,
                            .x = &x,
                            .columns = how.columns,
                            .y = y.get(),
                            .y_stride = weight.rows,
                            .bias = how.bias,
                            .force_exact = how.exact,
                            .two_terms = how.two_terms});
  EXPECT_TRUE(y.guard_intact());
  return y.values();
}

// Several widths: one group, stripes that end early, whole stripes.
std::vector<uint32_t> widths(const WeightFormat& format) {
  if (format.codec == CodecId::kFp8Block) return {72, 392, 1024};
  return {format.group, 3U * format.group, 7U * format.group, 1024};
}

class PanelsTest : public KernelSetTest {
 protected:
  ThreadPool one_{1};
  ThreadPool three_{3};
};

TEST_P(PanelsTest, ExactArithmeticGivesTheBitsOfRows) {
  for (const Numerics numerics : {Numerics::kExact, Numerics::kFast}) {
    Compute compute(three_, kernels(), numerics);
    for (const WeightFormat& format : panel_formats()) {
      for (const uint32_t count : {1U, 5U}) {
        const uint32_t cols = widths(format)[1];
        SCOPED_TRACE(format_name(format) + ", columns " + std::to_string(count));
        const RandomMatrix matrix(format, 37, cols, 5, 3);
        const PackedMatrix packed(matrix.view());
        const GuardedFloats x(random_floats(size_t{count} * cols, 6));
        const GuardedFloats bias(random_floats(37, 7));
        const Activations activations(x.get(), count, cols);
        const Case how{.exact = true, .bias = bias.get()};
        EXPECT_TRUE(same_bits(product_of(compute, packed.view(), activations, how),
                              product_of(compute, matrix.view(), activations, how)));
      }
    }
  }
}

TEST_P(PanelsTest, EverySetGivesTheBitsOfScalar) {
  Compute scalar(one_, select_kernel_set(kNoFeatures, "scalar"), Numerics::kFast);
  Compute compute(one_, kernels(), Numerics::kFast);
  for (const WeightFormat& format : panel_formats()) {
    const kernel::FormatKernels* row = kernels().find_format(format);
    if (row->int8_panels == nullptr) continue;
    for (const uint32_t cols : widths(format)) {
      for (const uint32_t rows : {1U, 40U, 69U}) {  // tiles of one, two and four panels
        SCOPED_TRACE(format_name(format) + ", " + std::to_string(rows) + " x " + std::to_string(cols));
        const RandomMatrix matrix(format, rows, cols, rows + cols, 0);
        const PackedMatrix packed(matrix.view());
        const GuardedFloats x(random_floats(size_t{101} * cols, 6));
        // Many columns leave every width of a tile as the last one, and more than a block takes.
        for (const uint32_t count : {1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U, 13U, 17U, 19U, 22U, 101U}) {
          if ((count > 13 && rows == 16) || (count > 22 && (cols > 200 || rows != 40))) continue;
          const Activations activations(x.get(), count, cols);
          for (const bool two : {false, true}) {
            ASSERT_TRUE(same_bits(product_of(compute, packed.view(), activations, {.two_terms = two}),
                                  product_of(scalar, packed.view(), activations, {.two_terms = two})))
                << count << " columns" << (two ? ", two terms" : "");
          }
        }
      }
    }
  }
}

TEST_P(PanelsTest, ResultsDoNotDependOnThreadsOrColumns) {
  Compute alone(one_, kernels(), Numerics::kFast);
  Compute shared(three_, kernels(), Numerics::kFast);
  for (const WeightFormat& format : panel_formats()) {
    if (format.scale == ScaleType::kF16) continue;  // treated as bf16 is
    constexpr uint32_t kRows = 69;
    const uint32_t cols = 640;
    const RandomMatrix matrix(format, kRows, cols, 9);
    const PackedMatrix packed(matrix.view());
    constexpr uint32_t kColumns = 35;
    const GuardedFloats x(random_floats(size_t{kColumns} * cols, 10));
    const Activations activations(x.get(), kColumns, cols);
    for (const bool two : {false, true}) {
      SCOPED_TRACE(format_name(format) + (two ? ", two terms" : ""));
      const auto together = product_of(shared, packed.view(), activations, {.two_terms = two});
      for (const uint32_t count : {1U, 2U, 3U, 4U, 7U, 13U, 18U, 31U}) {
        std::vector<uint32_t> columns(count);
        for (uint32_t i = 0; i < count; ++i) columns[i] = (4 * i + count) % kColumns;
        const auto some =
            product_of(alone, packed.view(), activations, {.two_terms = two, .columns = columns});
        for (uint32_t i = 0; i < count; ++i) {
          EXPECT_TRUE(same_bits(std::span(some).subspan(size_t{i} * kRows, kRows),
                                std::span(together).subspan(size_t{columns[i]} * kRows, kRows)))
              << "column " << columns[i] << " of " << count;
        }
      }
    }
  }
}

// The largest error that rounding activations can cause: half a step per element, times the weight's magnitude; a step is
// the group's largest magnitude / 127 (and 1 / 254 of that for two terms, whose rest is cut at 127 of 128). Beside it the
// fp32 roundings of both ways to sum, and scales so small that their product has few bits (E8M0 goes down to 2^-127).
double rounding_bound(std::span<const float> row, const float* x, bool two_terms) {
  double bound = 0.0;
  double magnitude = 0.0;
  for (size_t begin = 0; begin < row.size(); begin += 32) {
    const size_t end = std::min(begin + 32, row.size());
    double amax = 0.0;
    double weights = 0.0;
    for (size_t i = begin; i < end; ++i) {
      amax = std::max<double>(amax, std::fabs(x[i]));
      weights += std::fabs(row[i]);
    }
    bound += (two_terms ? 1.0 / 254.0 : 0.5) * amax / 127.0 * weights;
    magnitude += amax * weights;
  }
  return bound * 1.0001 + 0x1p-18 * magnitude + 0x1p-120;
}

TEST_P(PanelsTest, FastStaysWithinTheRoundingOfActivations) {
  Compute compute(one_, kernels(), Numerics::kFast);
  for (const WeightFormat& format : panel_formats()) {
    if (kernels().find_format(format)->int8_panels == nullptr) continue;
    for (const uint32_t cols : widths(format)) {
      const RandomMatrix matrix(format, 19, cols, cols);
      const PackedMatrix packed(matrix.view());
      for (const bool two : {false, true}) {
        SCOPED_TRACE(format_name(format) + ", inputs " + std::to_string(cols) + (two ? ", two terms" : ""));
        constexpr uint32_t kColumns = 20;
        const GuardedFloats x(random_floats(size_t{kColumns} * cols, 17));
        const Activations activations(x.get(), kColumns, cols);
        const auto y = product_of(compute, packed.view(), activations, {.two_terms = two});
        std::vector<float> row(cols);
        for (uint32_t r = 0; r < 19; ++r) {
          decode_row(matrix.view(), r, row);
          for (uint32_t c = 0; c < kColumns; ++c) {
            const float* column = x.get() + size_t{c} * cols;
            double sum = 0.0;
            for (uint32_t i = 0; i < cols; ++i) sum += static_cast<double>(row[i]) * column[i];
            ASSERT_NEAR(y[size_t{c} * 19 + r], sum, rounding_bound(row, column, two))
                << "row " << r << " column " << c;
          }
        }
      }
    }
  }
}

TEST_P(PanelsTest, SurvivesTheLargestCodesAndActivations) {
  Compute compute(one_, kernels(), Numerics::kFast);
  for (const WeightFormat& format : panel_formats()) {
    if (kernels().find_format(format)->int8_panels == nullptr) continue;
    for (const auto code : {std::byte{0xff}, std::byte{0x00}, std::byte{0x77}}) {
      for (const float sign : {1.0F, -1.0F}) {
        SCOPED_TRACE(format_name(format));
        RandomMatrix matrix(format, 4, 256, 8);
        std::fill_n(const_cast<std::byte*>(matrix.view().codes.data), 4 * row_bytes(format, 256), code);
        const PackedMatrix packed(matrix.view());
        const GuardedFloats x(256, sign * 127.0F);
        const Activations activations(x.get(), 1, 256);
        std::vector<float> row(256);
        for (const bool two : {false, true}) {
          const auto y = product_of(compute, packed.view(), activations, {.two_terms = two});
          for (uint32_t r = 0; r < 4; ++r) {
            decode_row(matrix.view(), r, row);
            double sum = 0.0;
            double magnitude = 0.0;
            for (const float w : row) {
              sum += 127.0 * sign * w;
              magnitude += 127.0 * std::fabs(w);
            }
            EXPECT_NEAR(y[r], sum, 0x1p-16 * magnitude + 0x1p-12);
          }
        }
      }
    }
  }
}

TEST_P(PanelsTest, NotANumberShowsInTheResultAndOnlyThere) {
  Compute compute(one_, kernels(), Numerics::kFast);
  for (const WeightFormat format : {WeightFormat{CodecId::kAffine, ScaleType::kBF16, 4, 64, 1},
                                    WeightFormat{CodecId::kMxFp4, ScaleType::kE8M0, 4, 32, 1}}) {
    const RandomMatrix matrix(format, 8, 256, 1);
    const PackedMatrix packed(matrix.view());
    std::vector<float> values = random_floats(512, 2);
    values[100] = std::nanf("");
    const GuardedFloats x(values);
    const Activations activations(x.get(), 2, 256);
    for (const bool two : {false, true}) {
      const auto y = product_of(compute, packed.view(), activations, {.two_terms = two});
      for (uint32_t r = 0; r < 8; ++r) {
        EXPECT_TRUE(std::isnan(y[r]));
        EXPECT_FALSE(std::isnan(y[8 + r]));
      }
    }
  }
}

MACH_FOR_EACH_KERNEL_SET(PanelsTest);

}  // namespace
}  // namespace mach::testing
