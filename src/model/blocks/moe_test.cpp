// Routed experts with dense fp32 weights against the formula: biases, a shared expert, waves of any size.
#include "model/blocks/moe.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "base/cpu_features.h"
#include "experts/resident_experts.h"
#include "kernels/kernel_test_support.h"
#include "model/workspace.h"

namespace mach {
namespace {

constexpr uint32_t kHidden = 24;
constexpr uint32_t kWidth = 20;
constexpr uint32_t kSharedWidth = 12;
constexpr uint32_t kExperts = 7;
constexpr uint32_t kTopK = 3;
constexpr uint32_t kRows = 11;

std::vector<float> random_floats(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, 0.3F);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

WeightMatrix view(const std::vector<float>& values, uint32_t rows, uint32_t cols) {
  return {.rows = rows,
          .cols = cols,
          .codes = {reinterpret_cast<const std::byte*>(values.data()), cols * sizeof(float)}};
}

// Storage of one gated MLP.
struct Mlp {
  Mlp(uint32_t width, uint32_t seed)
      : gate(random_floats(size_t{width} * kHidden, seed)),
        up(random_floats(size_t{width} * kHidden, seed + 1)),
        down(random_floats(size_t{kHidden} * width, seed + 2)),
        gate_bias(random_floats(width, seed + 3)),
        up_bias(random_floats(width, seed + 4)),
        down_bias(random_floats(kHidden, seed + 5)) {}

  std::vector<double> apply(std::span<const float> x, bool biased) const {
    const size_t width = gate_bias.size();
    std::vector<double> inner(width);
    for (size_t r = 0; r < width; ++r) {
      double g = biased ? gate_bias[r] : 0;
      double u = biased ? up_bias[r] : 0;
      for (size_t c = 0; c < kHidden; ++c) {
        g += double{gate[r * kHidden + c]} * x[c];
        u += double{up[r * kHidden + c]} * x[c];
      }
      inner[r] = g / (1 + std::exp(-g)) * u;
    }
    std::vector<double> out(kHidden);
    for (size_t r = 0; r < kHidden; ++r) {
      out[r] = biased ? down_bias[r] : 0;
      for (size_t c = 0; c < width; ++c) out[r] += down[r * width + c] * inner[c];
    }
    return out;
  }

  std::vector<float> gate, up, down, gate_bias, up_bias, down_bias;
};

// Hands out at most `limit` experts at a time and sees to it that the rules of acquire() are kept.
class NarrowProvider final : public ExpertProvider {
 public:
  NarrowProvider(ExpertProvider& all, uint32_t limit) : all_(all), limit_(limit) {}
  ExpertLease acquire(uint32_t layer, std::span<const uint32_t> experts, ExpertUse /*use*/) override {
    EXPECT_LE(experts.size(), limit_);
    EXPECT_EQ(std::set<uint32_t>(experts.begin(), experts.end()).size(), experts.size());
    ++acquired;
    return all_.acquire(layer, experts);
  }
  uint32_t max_lease(uint32_t /*layer*/) const noexcept override { return limit_; }
  void prefetch(uint32_t /*layer*/, std::span<const uint32_t> experts,
                PrefetchHint /*hint*/) noexcept override {
    announced.insert(experts.begin(), experts.end());
  }
  size_t acquired = 0;
  std::set<uint32_t> announced;

 private:
  ExpertProvider& all_;
  uint32_t limit_;
};

class MoeTest : public ::testing::Test {
 protected:
  MoeTest()
      : workspace(pool, select_kernel_set(probe_cpu_features())),
        frame(workspace.arena()),
        shared(kSharedWidth, 900),
        x(random_floats(size_t{kRows} * kHidden, 7)) {
    workspace.set_numerics(Numerics::kExact);
    for (uint32_t e = 0; e < kExperts; ++e) experts.emplace_back(kWidth, 10 * (e + 1));
    routing = new_routing(workspace, kRows, kTopK);
    for (uint32_t row = 0; row < kRows; ++row) {
      for (uint32_t k = 0; k < kTopK; ++k) {
        routing.experts_of(row)[k] = (row * row + 2 * k) % (kExperts - 1);  // the last one is never chosen
        routing.weights.row(row)[k] = 0.5F / static_cast<float>(k + 1);
      }
    }
  }

  ResidentExperts provider(bool biased) const {
    std::vector<ExpertWeights> layer;
    for (const Mlp& mlp : experts) {
      layer.push_back({.gate = view(mlp.gate, kWidth, kHidden),
                       .up = view(mlp.up, kWidth, kHidden),
                       .down = view(mlp.down, kHidden, kWidth),
                       .gate_bias = biased ? mlp.gate_bias.data() : nullptr,
                       .up_bias = biased ? mlp.up_bias.data() : nullptr,
                       .down_bias = biased ? mlp.down_bias.data() : nullptr});
    }
    return ResidentExperts({{}, layer});
  }

  std::vector<float> run(ExpertProvider& from, const SharedExpert* beside = nullptr) {
    std::vector<float> out(x.size(), 99.0F);
    const auto input = workspace.prepare({x.data(), kRows, kHidden});
    const RoutedExperts routed{.provider = &from,
                               .layer = 1,
                               .expert_count = kExperts,
                               .intermediate = kWidth,
                               .activation = {.gate = kernel::Gate::kSilu, .limit = 0, .alpha = 0}};
    run_experts(workspace, routed, *input, routing, {out.data(), kRows, kHidden}, beside);
    return out;
  }

  void expect_formula(const std::vector<float>& out, bool biased) const {
    for (uint32_t row = 0; row < kRows; ++row) {
      std::vector<double> wanted(kHidden);
      for (uint32_t k = 0; k < kTopK; ++k) {
        const auto y = experts[routing.experts_of(row)[k]].apply(row_of(row), biased);
        for (uint32_t c = 0; c < kHidden; ++c) wanted[c] += routing.weights.row(row)[k] * y[c];
      }
      for (uint32_t c = 0; c < kHidden; ++c) EXPECT_NEAR(out[row * kHidden + c], wanted[c], 2e-6) << row;
    }
  }

  std::span<const float> row_of(uint32_t row) const { return std::span(x).subspan(row * kHidden, kHidden); }

  ThreadPool pool{2};
  Workspace workspace;
  ScratchArena::Frame frame;
  std::vector<Mlp> experts;
  Mlp shared;
  std::vector<float> x;
  Routing routing;
};

TEST_F(MoeTest, SumsTheWeightedExpertsOfEachToken) {
  auto all = provider(false);
  expect_formula(run(all), false);
}

TEST_F(MoeTest, BiasesAreInsideTheWeighting) {
  auto all = provider(true);
  expect_formula(run(all), true);
}

TEST_F(MoeTest, WavesOfAnySizeGiveTheSameBits) {
  auto all = provider(true);
  const auto wanted = run(all);
  for (const uint32_t limit : {1U, 2U, 5U, 6U}) {
    NarrowProvider narrow(all, limit);
    EXPECT_EQ(run(narrow), wanted) << limit;
    EXPECT_EQ(narrow.acquired, (6 + limit - 1) / limit);
    EXPECT_EQ(narrow.announced.size(), limit < 6 ? 6U : 0U)
        << "all waves are announced where there are several";
  }
}

TEST_F(MoeTest, ASharedExpertRidesAlongOnce) {
  auto all = provider(false);
  const GatedMlp mlp{.gate = {view(shared.gate, kSharedWidth, kHidden), shared.gate_bias},
                     .up = {view(shared.up, kSharedWidth, kHidden), shared.up_bias},
                     .down = {view(shared.down, kHidden, kSharedWidth), shared.down_bias}};
  NarrowProvider narrow(all, 2);
  std::vector<float> out(x.size(), 99.0F);
  const SharedExpert beside{.mlp = &mlp, .out = {out.data(), kRows, kHidden}};
  EXPECT_EQ(run(narrow, &beside), run(all));
  for (uint32_t row = 0; row < kRows; ++row) {
    const auto wanted = shared.apply(row_of(row), true);
    for (uint32_t c = 0; c < kHidden; ++c) EXPECT_NEAR(out[row * kHidden + c], wanted[c], 2e-6);
  }
}

TEST_F(MoeTest, AFailedReadLeavesNothingTaken) {
  class Failing final : public ExpertProvider {
    ExpertLease acquire(uint32_t, std::span<const uint32_t>, ExpertUse) override {
      throw std::runtime_error("disk");
    }
    uint32_t max_lease(uint32_t) const noexcept override { return 8; }
    void prefetch(uint32_t, std::span<const uint32_t>, PrefetchHint) noexcept override {}
  } failing;
  EXPECT_THROW(run(failing), std::runtime_error);
  auto all = provider(false);
  expect_formula(run(all), false);
}

// In fast mode the packed experts of a prompt take a path of their own; a row must not notice.
TEST(MoeInFastMode, APromptGivesTheBitsOfItsRowsInParts) {
  constexpr WeightFormat kFormat{CodecId::kAffine, ScaleType::kBF16, 4, 32, 1};
  constexpr uint32_t kDim = 96;
  constexpr uint32_t kInner = 160;
  constexpr uint32_t kTokens = 50;
  constexpr uint32_t kChosen = 2;
  std::deque<testing::PackedMatrix> matrices;
  std::vector<ExpertWeights> layer;
  for (uint32_t e = 0; e < kExperts; ++e) {
    const auto packed = [&](uint32_t rows, uint32_t cols, uint32_t seed) {
      return matrices.emplace_back(testing::RandomMatrix(kFormat, rows, cols, seed).view()).view();
    };
    layer.push_back({.gate = packed(kInner, kDim, 3 * e),
                     .up = packed(kInner, kDim, 3 * e + 1),
                     .down = packed(kDim, kInner, 3 * e + 2)});
  }
  ResidentExperts all({layer});
  const std::vector<float> x = random_floats(size_t{kTokens} * kDim, 4);

  ThreadPool pool(2);
  Workspace workspace(pool, select_kernel_set(probe_cpu_features()));
  const auto run = [&](ExpertProvider& from, uint32_t begin, uint32_t end, float* out) {
    const ScratchArena::Frame frame(workspace.arena());
    const Routing routing = new_routing(workspace, end - begin, kChosen);
    for (uint32_t row = begin; row < end; ++row) {
      for (uint32_t k = 0; k < kChosen; ++k) {  // the choices come in no order
        routing.experts_of(row - begin)[k] = (row * row + 4 * k) % kExperts;
        routing.weights.row(row - begin)[k] = 0.5F / static_cast<float>(row % 3 + k + 1);
      }
    }
    const auto input = workspace.prepare(x.data() + size_t{begin} * kDim, end - begin, kDim, kDim);
    const RoutedExperts routed{.provider = &from,
                               .layer = 0,
                               .expert_count = kExperts,
                               .intermediate = kInner,
                               .activation = {.gate = kernel::Gate::kSilu, .limit = 0, .alpha = 0}};
    run_experts(workspace, routed, *input, routing, {out + size_t{begin} * kDim, end - begin, kDim});
  };
  std::vector<float> whole(x.size());
  std::vector<float> parts(x.size());
  run(all, 0, kTokens, whole.data());
  for (uint32_t begin = 0; begin < kTokens; begin += 20)
    run(all, begin, std::min(begin + 20, kTokens), parts.data());
  EXPECT_TRUE(testing::same_bits(whole, parts));

  NarrowProvider narrow(all, 3);
  std::vector<float> waves(x.size());
  run(narrow, 0, kTokens, waves.data());
  EXPECT_TRUE(testing::same_bits(waves, whole));
}

}  // namespace
}  // namespace mach
