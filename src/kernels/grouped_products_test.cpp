// Grouped products give the bits of multiply() with the same elementwise steps between, for every set and any threads.
#include "kernels/grouped_products.h"

#include <deque>

#include <gtest/gtest.h>

#include "kernels/kernel_test_support.h"
#include "kernels/product.h"

namespace mach::testing {
namespace {

constexpr uint32_t kHidden = 160;
constexpr uint32_t kInner = 192;  // a piece and a half
constexpr uint32_t kRows = 120;
constexpr kernel::GateParameters kSilu{.gate = kernel::Gate::kSilu, .limit = 0, .alpha = 0};

// An expert with the rows that chose it.
struct Expert {
  Expert(const WeightFormat& format, uint32_t seed, uint32_t count)
      : gate_rows(format, kInner, kHidden, seed, 3),
        up_rows(format, kInner, kHidden, seed + 1, 3),
        down_rows(format, kHidden, kInner, seed + 2, 3),
        gate(gate_rows.view()),
        up(up_rows.view()),
        down(down_rows.view()),
        gate_bias(random_floats(kInner, seed + 3)),
        up_bias(random_floats(kInner, seed + 4)),
        down_bias(random_floats(kHidden, seed + 5)),
        weights(random_floats(count, seed + 6)) {
    for (uint32_t i = 0; i < count; ++i) rows.push_back((seed + i) % kRows);
  }
  RandomMatrix gate_rows, up_rows, down_rows;
  PackedMatrix gate, up, down;
  std::vector<float> gate_bias, up_bias, down_bias, weights;
  std::vector<uint32_t> rows;
};

class GroupedProductsTest : public KernelSetTest {};

std::vector<float> expected(Compute& compute, const std::deque<Expert>& experts,
                            const std::vector<float>& x) {
  const Activations hidden(x.data(), kRows, kHidden);
  std::vector<float> out(size_t{kRows} * kHidden, 1.0F);
  for (const Expert& expert : experts) {
    const auto count = static_cast<uint32_t>(expert.rows.size());
    std::vector<float> gate(size_t{count} * kInner);
    std::vector<float> up(gate.size());
    const WeightMatrix gate_view = expert.gate.view();
    const WeightMatrix up_view = expert.up.view();
    const WeightMatrix down_view = expert.down.view();
    multiply(compute, Product{.weight = &gate_view,
                              .x = &hidden,
                              .columns = expert.rows,
                              .y = gate.data(),
                              .y_stride = kInner,
                              .bias = expert.gate_bias.data()});
    multiply(compute, Product{.weight = &up_view,
                              .x = &hidden,
                              .columns = expert.rows,
                              .y = up.data(),
                              .y_stride = kInner,
                              .bias = expert.up_bias.data()});
    for (size_t i = 0; i < count; ++i) {
      float* row = gate.data() + i * kInner;
      compute.kernels.gated_activation(kSilu, row, up.data() + i * kInner, kInner, row);
    }
    const Activations inner(gate.data(), count, kInner);
    std::vector<float> y(size_t{count} * kHidden);
    multiply(compute, Product{.weight = &down_view,
                              .x = &inner,
                              .y = y.data(),
                              .y_stride = kHidden,
                              .bias = expert.down_bias.data()});
    for (size_t i = 0; i < count; ++i) {
      compute.kernels.axpy(expert.weights[i], y.data() + i * kHidden, kHidden,
                           out.data() + size_t{expert.rows[i]} * kHidden);
    }
  }
  return out;
}

std::vector<float> grouped(Compute& compute, const std::deque<Expert>& experts, const std::vector<float>& x) {
  const Activations hidden(x.data(), kRows, kHidden);
  std::vector<WeightMatrix> views;
  views.reserve(3 * experts.size());
  std::vector<GatedProduct> gated;
  std::vector<SummedProduct> summed;
  uint32_t first = 0;
  for (const Expert& expert : experts) {
    for (const PackedMatrix* matrix : {&expert.gate, &expert.up, &expert.down})
      views.push_back(matrix->view());
    const WeightMatrix* own = &views[views.size() - 3];
    gated.push_back({.gate = own,
                     .up = own + 1,
                     .gate_bias = expert.gate_bias.data(),
                     .up_bias = expert.up_bias.data(),
                     .columns = expert.rows,
                     .out_first = first});
    summed.push_back({.weight = own + 2,
                      .bias = expert.down_bias.data(),
                      .x_first = first,
                      .targets = expert.rows,
                      .weights = expert.weights});
    first += static_cast<uint32_t>(expert.rows.size());
  }
  Activations inner;
  inner.reserve_pieces(first, kInner);
  gated_products(
      compute, hidden, gated,
      [&](const float* gate, const float* up, uint32_t n, float* y) {
        compute.kernels.gated_activation(kSilu, gate, up, n, y);
      },
      inner);
  std::vector<float> out(size_t{kRows} * kHidden, 1.0F);
  summed_products(compute, inner, summed, out.data(), kRows);
  return out;
}

TEST_P(GroupedProductsTest, GiveTheBitsOfSingleProducts) {
  ThreadPool one(1);
  ThreadPool three(3);
  Compute alone(one, kernels(), Numerics::kFast);
  Compute shared(three, kernels(), Numerics::kFast);
  const std::vector<float> x = random_floats(size_t{kRows} * kHidden, 5);
  for (const WeightFormat format : {WeightFormat{CodecId::kAffine, ScaleType::kBF16, 4, 32, 1},
                                    WeightFormat{CodecId::kMxFp4, ScaleType::kE8M0, 4, 32, 1}}) {
    SCOPED_TRACE(format_name(format));
    // Few columns, more than a block takes, many.
    std::deque<Expert> experts;
    for (const uint32_t count : {3U, 101U, 1U, 33U}) experts.emplace_back(format, 7 * count, count);
    if (!grouped_products_take(alone, experts[0].gate.view())) GTEST_SKIP() << "no kernels for panel order";
    const auto wanted = expected(alone, experts, x);
    EXPECT_TRUE(same_bits(grouped(alone, experts, x), wanted));
    EXPECT_TRUE(same_bits(grouped(shared, experts, x), wanted));
  }
}

MACH_FOR_EACH_KERNEL_SET(GroupedProductsTest);

}  // namespace
}  // namespace mach::testing
