// multiply(): both numeric modes, for every set and format; that results do not depend on threads, batch or neighbours;
// and that int8 activations cost no more than their rounding.
#include "kernels/product.h"

#include <cmath>
#include <memory>
#include <numeric>

#include <gtest/gtest.h>

#include "mach/error.h"

#include "kernels/kernel_test_support.h"
#include "quant/decode.h"

namespace mach::testing {
namespace {

// Results [columns][rows] of one product.
std::vector<float> product_of(Compute& compute, const WeightMatrix& weight, const Activations& x,
                              std::span<const uint32_t> columns = {}, const float* bias = nullptr) {
  const size_t count = columns.empty() ? x.count() : columns.size();
  GuardedFloats y(count * weight.rows, 99.0F);
  multiply(compute, Product{.weight = &weight,
                            .x = &x,
                            .columns = columns,
                            .y = y.get(),
                            .y_stride = weight.rows,
                            .bias = bias});
  EXPECT_TRUE(y.guard_intact());
  return y.values();
}

class ProductTest : public KernelSetTest {
 protected:
  ThreadPool one_{1};
  ThreadPool three_{3};
};

TEST_P(ProductTest, ExactIsTheScalarResultForEveryFormat) {
  Compute scalar(one_, select_kernel_set(kNoFeatures, "scalar"), Numerics::kExact);
  Compute compute(one_, kernels(), Numerics::kExact);
  for (const WeightFormat& format : all_formats()) {
    for (const uint32_t count : {1U, 5U}) {
      const uint32_t cols = column_step(format) == 1 ? 77 : 2 * column_step(format);
      SCOPED_TRACE(format_name(format) + ", columns " + std::to_string(count));
      const RandomMatrix matrix(format, 11, cols, 5, 3);
      const GuardedFloats x(random_floats(size_t{count} * cols, 6));
      const Activations activations(x.get(), count, cols);
      const std::vector<float> expected = product_of(scalar, matrix.view(), activations);
      EXPECT_TRUE(same_bits(product_of(compute, matrix.view(), activations), expected));
    }
  }
}

TEST_P(ProductTest, OneColumnOfBlockFp8EqualsScalarAtRaggedEdges) {
  Compute scalar(one_, select_kernel_set(kNoFeatures, "scalar"), Numerics::kExact);
  Compute compute(one_, kernels(), Numerics::kExact);
  for (const WeightFormat format : {WeightFormat{CodecId::kFp8Block, ScaleType::kF32, 8, 128, 3},
                                    WeightFormat{CodecId::kFp8Block, ScaleType::kBF16, 8, 64, 128},
                                    WeightFormat{CodecId::kFp8Block, ScaleType::kE8M0, 8, 0, 0}}) {
    for (const uint32_t cols : {32U, 160U, 4096U}) {
      const RandomMatrix matrix(format, 11, cols, 5, 1);
      const GuardedFloats x(random_floats(cols, 6));
      const Activations activations(x.get(), 1, cols);
      const std::vector<float> expected = product_of(scalar, matrix.view(), activations);
      EXPECT_TRUE(same_bits(product_of(compute, matrix.view(), activations), expected))
          << format_name(format);
    }
  }
}

TEST_P(ProductTest, ResultsDoNotDependOnThreadsColumnsOrRows) {
  for (const Numerics numerics : {Numerics::kExact, Numerics::kFast}) {
    Compute alone(one_, kernels(), numerics);
    Compute shared(three_, kernels(), numerics);
    for (const WeightFormat& format : all_formats()) {
      if (format.scale == ScaleType::kF16) continue;  // treated as bf16 is
      const uint32_t cols = column_step(format) == 1 ? 77 : 640;
      SCOPED_TRACE(format_name(format) + (numerics == Numerics::kFast ? ", fast" : ", exact"));
      const RandomMatrix matrix(format, 37, cols, 9);
      const GuardedFloats x(random_floats(size_t{14} * cols, 10));
      const Activations activations(x.get(), 14, cols);
      const std::vector<float> together = product_of(shared, matrix.view(), activations);
      for (const uint32_t count : {1U, 2U, 3U, 4U, 7U, 13U}) {
        std::vector<uint32_t> columns(count);
        for (uint32_t i = 0; i < count; ++i) columns[i] = (5 * i + count) % 14;
        const std::vector<float> some = product_of(alone, matrix.view(), activations, columns);
        for (uint32_t i = 0; i < count; ++i) {
          EXPECT_TRUE(same_bits(std::span(some).subspan(i * 37, 37),
                                std::span(together).subspan(columns[i] * 37, 37)))
              << "column " << columns[i] << " of " << count;
        }
      }
      for (uint32_t row = 0; row < 37; row += 5) {  // a matrix of one row
        WeightMatrix single = matrix.view();
        if (format.block_rows != 1) break;
        single.rows = 1;
        single.codes.data += row * single.codes.row_stride;
        if (single.scales.data != nullptr) single.scales.data += row * single.scales.row_stride;
        if (single.biases.data != nullptr) single.biases.data += row * single.biases.row_stride;
        EXPECT_EQ(product_of(alone, single, activations, std::vector<uint32_t>{6})[0],
                  together[6 * 37 + row]);
      }
    }
  }
}

// The largest error that rounding activations to int8 can cause: half a step per element, times the weight's magnitude;
// a step is the group's largest magnitude / 127. Beside it the fp32 roundings of both ways to sum.
double int8_bound(std::span<const float> row, const float* x) {
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
    bound += 0.5 * amax / 127.0 * weights;
    magnitude += amax * weights;
  }
  return bound * 1.0001 + 0x1p-18 * magnitude;
}

TEST_P(ProductTest, FastStaysWithinTheRoundingOfActivations) {
  Compute compute(one_, kernels(), Numerics::kFast);
  double worst = 0.0;
  for (const WeightFormat& format : all_formats()) {
    for (const uint32_t steps : {1U, 3U, 9U}) {
      const uint32_t cols = column_step(format) == 1 ? 29 * steps : steps * column_step(format);
      SCOPED_TRACE(format_name(format) + ", columns " + std::to_string(cols));
      const RandomMatrix matrix(format, 9, cols, 3 * steps, steps);
      for (const uint32_t count : {1U, 6U}) {
        const GuardedFloats x(random_floats(size_t{count} * cols, 17 + steps));
        const Activations activations(x.get(), count, cols);
        const std::vector<float> y = product_of(compute, matrix.view(), activations);
        std::vector<float> row(cols);
        for (uint32_t r = 0; r < 9; ++r) {
          decode_row(matrix.view(), r, row);
          for (uint32_t c = 0; c < count; ++c) {
            const float* column = x.get() + size_t{c} * cols;
            double sum = 0.0;
            for (uint32_t i = 0; i < cols; ++i) sum += static_cast<double>(row[i]) * column[i];
            const double bound = int8_bound(row, column);
            ASSERT_NEAR(y[c * 9 + r], sum, bound) << "row " << r << " column " << c;
            if (bound > 0.0) worst = std::max(worst, std::fabs(y[c * 9 + r] - sum) / bound);
          }
        }
      }
    }
  }
  RecordProperty("worst_share_of_bound", std::to_string(worst));
}

TEST_P(ProductTest, FastSurvivesTheLargestCodesAndActivations) {
  // All codes at their maximum against activations at +-127: the integer sums are at their limits.
  Compute compute(one_, kernels(), Numerics::kFast);
  for (const WeightFormat& format : all_formats()) {
    if (kernels().find_format(format)->int8_rows == nullptr) continue;
    for (const auto code : {std::byte{0xff}, std::byte{0x00}, std::byte{0x77}}) {
      for (const float sign : {1.0F, -1.0F}) {
        SCOPED_TRACE(format_name(format));
        RandomMatrix matrix(format, 4, 256, 8);
        std::fill_n(const_cast<std::byte*>(matrix.view().codes.data), 4 * row_bytes(format, 256), code);
        const GuardedFloats x(256, sign * 127.0F);
        const Activations activations(x.get(), 1, 256);
        const std::vector<float> y = product_of(compute, matrix.view(), activations);
        std::vector<float> row(256);
        for (uint32_t r = 0; r < 4; ++r) {
          decode_row(matrix.view(), r, row);
          double sum = 0.0;
          double magnitude = 0.0;
          for (const float w : row) {
            sum += 127.0 * sign * w;
            magnitude += 127.0 * std::fabs(w);
          }
          // Activations are represented exactly here; scale times code and bias may cancel.
          EXPECT_NEAR(y[r], sum, 0x1p-16 * magnitude + 0x1p-12);
        }
      }
    }
  }
}

TEST_P(ProductTest, ActivationsQuantiseAlikeOnEverySet) {
  const KernelSet& scalar = select_kernel_set(kNoFeatures, "scalar");
  for (uint32_t n = 1; n <= 200; n += n < 70 ? 1 : 13) {
    std::vector<float> values = random_floats(n, n);
    if (n > 100) values[n / 2] = n % 2 == 0 ? std::numeric_limits<float>::infinity() : std::nanf("");
    if (n % 3 == 0) std::fill_n(values.begin(), std::min(n, 32U), 1e-31F);
    const GuardedFloats x(values);
    const uint32_t padded = (n + 63) / 64 * 64;
    GuardedBytes a(padded);
    GuardedBytes b(padded);
    GuardedFloats a_scales(padded / 32, 7.0F);
    GuardedFloats b_scales(padded / 32, 7.0F);
    scalar.quantize_int8(x.get(), n, reinterpret_cast<int8_t*>(a.data()), a_scales.get());
    kernels().quantize_int8(x.get(), n, reinterpret_cast<int8_t*>(b.data()), b_scales.get());
    EXPECT_EQ(std::memcmp(a.data(), b.data(), padded), 0) << "n " << n;
    EXPECT_TRUE(same_bits(b_scales.span(), a_scales.span())) << "n " << n;

    const auto* first = reinterpret_cast<const int8_t*>(a.data());
    GuardedBytes low_bytes(padded);
    auto* low = reinterpret_cast<int8_t*>(low_bytes.data());
    std::fill_n(low, padded, int8_t{99});
    kernels().refine_int8(x.get(), n, first, a_scales.get(), low);
    for (uint32_t i = 0; i < padded; ++i) {
      const float scale = a_scales.span()[i / 32];
      const bool rounded = i < n && scale > 0.0F;
      const double rest = rounded ? 256.0 * (double{values[i]} / scale - first[i]) : 0.0;
      EXPECT_NEAR(low[i], std::clamp(rest, -127.0, 127.0), rounded ? 0.502 : 0.0) << "n " << n << ", " << i;
    }
    std::vector<int32_t> totals(padded / 16);
    kernels().total_int8(first, nullptr, padded, totals.data());
    for (uint32_t g = 0; g < totals.size(); ++g)
      EXPECT_EQ(totals[g], std::accumulate(first + 16 * g, first + 16 * g + 16, 0));
    kernels().total_int8(first, low, padded, totals.data());
    for (uint32_t g = 0; g < totals.size(); ++g) {
      EXPECT_EQ(totals[g], 256 * std::accumulate(first + 16 * g, first + 16 * g + 16, 0) +
                               std::accumulate(low + 16 * g, low + 16 * g + 16, 0));
    }
    std::vector<int8_t> scalar_low(padded);
    scalar.refine_int8(x.get(), n, first, a_scales.get(), scalar_low.data());
    EXPECT_EQ(std::memcmp(scalar_low.data(), low, padded), 0) << "n " << n;
  }
}

TEST_P(ProductTest, NotANumberShowsInTheResultAndOnlyThere) {
  Compute compute(one_, kernels(), Numerics::kFast);
  const RandomMatrix matrix({CodecId::kAffine, ScaleType::kBF16, 4, 64, 1}, 8, 256, 1);
  std::vector<float> values = random_floats(512, 2);
  values[100] = std::nanf("");
  const GuardedFloats x(values);
  const Activations activations(x.get(), 2, 256);
  const std::vector<float> y = product_of(compute, matrix.view(), activations);
  for (uint32_t r = 0; r < 8; ++r) {
    EXPECT_TRUE(std::isnan(y[r]));
    EXPECT_FALSE(std::isnan(y[8 + r]));
  }
}

TEST_P(ProductTest, ManyProductsRunInOneCallAsTheyDoAlone) {
  for (const Numerics numerics : {Numerics::kExact, Numerics::kFast}) {
    Compute compute(three_, kernels(), numerics);
    Compute alone(one_, kernels(), numerics);
    const std::vector<WeightFormat> formats = all_formats();
    std::vector<std::unique_ptr<RandomMatrix>> matrices;
    std::vector<std::vector<float>> results;
    std::vector<std::vector<uint32_t>> columns;
    const GuardedFloats x(random_floats(6 * 384, 4));
    Activations activations(x.get(), 6, 384);
    const std::vector<float> bias = random_floats(400, 5);
    std::vector<Product> products;
    for (size_t i = 0; i < formats.size(); ++i) {
      const auto rows = static_cast<uint32_t>(1 + i * 13 % 300);
      matrices.push_back(std::make_unique<RandomMatrix>(formats[i], rows, 384, static_cast<uint32_t>(i)));
      columns.emplace_back();
      for (uint32_t c = 0; c < i % 4; ++c) columns.back().push_back((c * 5 + 1) % 6);
      results.emplace_back((columns.back().empty() ? 6 : columns.back().size()) * rows);
    }
    for (size_t i = 0; i < formats.size(); ++i) {
      products.push_back({.weight = &matrices[i]->view(),
                          .x = &activations,
                          .columns = columns[i],
                          .y = results[i].data(),
                          .y_stride = matrices[i]->view().rows,
                          .bias = i % 3 == 0 ? bias.data() : nullptr});
    }
    multiply(compute, products);
    for (size_t i = 0; i < formats.size(); ++i) {
      const auto single = product_of(alone, matrices[i]->view(), activations, columns[i], products[i].bias);
      EXPECT_TRUE(same_bits(results[i], single)) << format_name(formats[i]);
    }
  }
}

TEST_P(ProductTest, ForceExactGivesTheExactResultInFastMode) {
  Compute fast(one_, kernels(), Numerics::kFast);
  Compute exact(one_, kernels(), Numerics::kExact);
  const RandomMatrix matrix({CodecId::kAffine, ScaleType::kBF16, 8, 64, 1}, 16, 256, 1);
  const GuardedFloats x(random_floats(256, 2));
  const Activations activations(x.get(), 1, 256);
  std::vector<float> forced(16);
  multiply(fast,
           Product{.weight = &matrix.view(), .x = &activations, .y = forced.data(), .force_exact = true});
  EXPECT_TRUE(same_bits(forced, product_of(exact, matrix.view(), activations)));
  EXPECT_FALSE(same_bits(forced, product_of(fast, matrix.view(), activations)));
}

TEST_P(ProductTest, ReassignedActivationsAreQuantisedAgain) {
  Compute compute(one_, kernels(), Numerics::kFast);
  const RandomMatrix matrix({CodecId::kMxFp4, ScaleType::kE8M0, 4, 32, 1}, 16, 256, 1);
  GuardedFloats x(random_floats(256, 2));
  Activations activations(x.get(), 1, 256);
  const std::vector<float> before = product_of(compute, matrix.view(), activations);
  for (float& v : x.span()) v *= 2.0F;
  activations.assign(x.get(), 1, 256);
  const std::vector<float> after = product_of(compute, matrix.view(), activations);
  for (size_t r = 0; r < 16; ++r) EXPECT_FLOAT_EQ(after[r], 2.0F * before[r]);
}

TEST_P(ProductTest, ActivationsMayHaveAStride) {
  for (const Numerics numerics : {Numerics::kExact, Numerics::kFast}) {
    Compute compute(one_, kernels(), numerics);
    const RandomMatrix matrix({CodecId::kAffine, ScaleType::kF16, 5, 32, 1}, 16, 96, 1);
    const std::vector<float> dense = random_floats(3 * 96, 2);
    GuardedFloats strided(2 * 101 + 96);
    for (size_t i = 0; i < 3; ++i) std::copy_n(dense.data() + i * 96, 96, strided.get() + i * 101);
    Activations a(dense.data(), 3, 96);
    Activations b;
    b.assign(strided.get(), 3, 96, 101);
    EXPECT_TRUE(same_bits(product_of(compute, matrix.view(), a), product_of(compute, matrix.view(), b)));
  }
}

TEST(Product, RefusesOperandsThatDoNotFit) {
  ThreadPool pool(1);
  Compute compute(pool, select_kernel_set(probe_cpu_features()), Numerics::kExact);
  const RandomMatrix matrix({CodecId::kF32, ScaleType::kNone, 32, 0, 1}, 4, 8, 1);
  const std::vector<float> values(32);
  std::vector<float> y(32);
  const Activations narrow(values.data(), 2, 7);
  const Activations fitting(values.data(), 2, 8);
  const std::vector<uint32_t> beyond = {2};
  EXPECT_THROW(
      multiply(compute, Product{.weight = &matrix.view(), .x = &narrow, .y = y.data(), .y_stride = 4}),
      Error);
  EXPECT_THROW(
      multiply(
          compute,
          Product{.weight = &matrix.view(), .x = &fitting, .columns = beyond, .y = y.data(), .y_stride = 4}),
      Error);
  EXPECT_THROW(
      multiply(compute, Product{.weight = &matrix.view(), .x = &fitting, .y = y.data(), .y_stride = 3}),
      Error);
  EXPECT_NO_THROW(
      multiply(compute, Product{.weight = &matrix.view(), .x = &fitting, .y = y.data(), .y_stride = 4}));
  EXPECT_NO_THROW(multiply(compute, std::span<const Product>{}));
}

MACH_FOR_EACH_KERNEL_SET(ProductTest);

}  // namespace
}  // namespace mach::testing
