// Norms, activations, softmax, rotary embedding and conversions: every set against the scalar one bit for bit; the scalar
// one against double precision.
#include <cmath>
#include <functional>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/kernel_test_support.h"
#include "kernels/scalar/scalar_math.h"

namespace mach::testing {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

const KernelSet& scalar_set() { return select_kernel_set(kNoFeatures, "scalar"); }

// Ordinary values with, here and there, everything that is not ordinary.
std::vector<float> odd_floats(size_t n, uint32_t seed, float scale = 4.0F) {
  constexpr float kOdd[] = {0.0F,   -0.0F,   1e-40F, -1e-40F, 88.8F, -88.8F,
                            103.9F, -103.9F, 1e30F,  -1e30F,  0.55F, -0.55F};
  std::vector<float> values = random_floats(n, seed, scale);
  std::mt19937 random(seed);
  for (float& v : values) {
    if (random() % 5 == 0) v = kOdd[random() % std::size(kOdd)];
  }
  return values;
}

class ElementwiseTest : public KernelSetTest {
 protected:
  // f(set, y) on copies of `start`, for every length up to 70.
  static void expect_equal(const std::string& name,
                           const std::function<void(const KernelSet&, uint32_t, float*)>& f,
                           const std::function<std::vector<float>(uint32_t)>& start) {
    for (uint32_t n = 0; n <= 70; ++n) {
      SCOPED_TRACE(name + ", n " + std::to_string(n));
      GuardedFloats expected(start(n));
      GuardedFloats actual(start(n));
      f(scalar_set(), n, expected.get());
      f(kernels(), n, actual.get());
      ASSERT_TRUE(same_bits(actual.span(), expected.span()));
      ASSERT_TRUE(actual.guard_intact());
    }
  }
  static std::vector<float> odd(uint32_t n) { return odd_floats(n, n + 1); }
};

TEST_P(ElementwiseTest, VectorArithmeticEqualsScalar) {
  const auto with = [](auto member) {
    return [member](const KernelSet& set, uint32_t n, float* y) {
      const GuardedFloats x(odd_floats(n, n + 1000));
      (set.*member)(x.get(), n, y);
    };
  };
  expect_equal("add", with(&KernelSet::add), odd);
  expect_equal("multiply", with(&KernelSet::multiply), odd);
  expect_equal("sigmoid_multiply", with(&KernelSet::sigmoid_multiply), odd);
  expect_equal(
      "scale", [](const KernelSet& set, uint32_t n, float* y) { set.scale(0.3F, n, y); }, odd);
  expect_equal(
      "soft_cap", [](const KernelSet& set, uint32_t n, float* y) { set.soft_cap(30.0F, n, y); }, odd);
  expect_equal(
      "exp", [](const KernelSet& set, uint32_t n, float* y) { set.exp(n, y); }, odd);
  expect_equal(
      "silu", [](const KernelSet& set, uint32_t n, float* y) { set.silu(n, y); }, odd);
  expect_equal(
      "axpy",
      [](const KernelSet& set, uint32_t n, float* y) {
        const GuardedFloats x(odd_floats(n, n + 1000));
        set.axpy(0.7F, x.get(), n, y);
      },
      odd);
  expect_equal(
      "scale_axpy",
      [](const KernelSet& set, uint32_t n, float* y) {
        const GuardedFloats x(odd_floats(n, n + 1000));
        set.scale_axpy(0.9F, -0.7F, x.get(), n, y);
      },
      odd);
}

TEST_P(ElementwiseTest, RmsNormEqualsScalar) {
  for (const bool weighted : {false, true}) {
    for (const bool in_place : {false, true}) {
      expect_equal(
          "rms_norm",
          [&](const KernelSet& set, uint32_t n, float* y) {
            if (n == 0) return;
            const GuardedFloats x(random_floats(n, n));
            const GuardedFloats w(random_floats(n, n + 7));
            if (in_place) std::copy_n(x.get(), n, y);
            set.rms_norm(in_place ? y : x.get(), weighted ? w.get() : nullptr, 1e-6F, n, y);
          },
          [](uint32_t n) { return std::vector<float>(n, 5.0F); });
    }
  }
}

TEST_P(ElementwiseTest, GatesEqualScalar) {
  for (const kernel::Gate gate :
       {kernel::Gate::kSilu, kernel::Gate::kGeluTanh, kernel::Gate::kSiluLimited, kernel::Gate::kSwigluOai}) {
    expect_equal(
        "gate " + std::to_string(static_cast<int>(gate)),
        [&](const KernelSet& set, uint32_t n, float* y) {
          const GuardedFloats u(odd_floats(n, n + 31, 8.0F));
          set.gated_activation({gate, 7.0F, 1.702F}, y, u.get(), n, y);  // in place over the gate
        },
        [](uint32_t n) { return odd_floats(n, n + 3, 8.0F); });
  }
}

TEST_P(ElementwiseTest, SoftmaxEqualsScalar) {
  constexpr float kSink = 1.5F;
  for (const float* sink : {static_cast<const float*>(nullptr), &kSink}) {
    expect_equal(
        "softmax", [&](const KernelSet& set, uint32_t n, float* y) { set.softmax(sink, n, y); },
        [](uint32_t n) {
          std::vector<float> x = random_floats(n, n, 10.0F);
          for (uint32_t i = 0; i < n; i += 5) x[i] = -kInf;
          return x;
        });
  }
  expect_equal(
      "all masked", [](const KernelSet& set, uint32_t n, float* y) { set.softmax(nullptr, n, y); },
      [](uint32_t n) { return std::vector<float>(n, -kInf); });
  expect_equal(
      "with NaN", [](const KernelSet& set, uint32_t n, float* y) { set.softmax(nullptr, n, y); },
      [](uint32_t n) {
        std::vector<float> x = random_floats(n, n);
        if (n > 3) x[n / 2] = kNan;
        return x;
      });
}

TEST_P(ElementwiseTest, RopeEqualsScalar) {
  for (uint32_t pairs = 0; pairs <= 40; ++pairs) {
    std::vector<float> angles = random_floats(pairs, pairs);
    GuardedFloats cos(pairs);
    GuardedFloats sin(pairs);
    for (uint32_t i = 0; i < pairs; ++i) {
      cos.get()[i] = std::cos(angles[i]);
      sin.get()[i] = std::sin(angles[i]);
    }
    for (const auto rope : {&KernelSet::rope_half_split, &KernelSet::rope_interleaved}) {
      SCOPED_TRACE(::testing::Message() << pairs << " pairs");
      GuardedFloats expected(random_floats(size_t{2} * pairs, 5));
      GuardedFloats actual(expected.values());
      (scalar_set().*rope)(cos.get(), sin.get(), pairs, expected.get());
      (kernels().*rope)(cos.get(), sin.get(), pairs, actual.get());
      ASSERT_TRUE(same_bits(actual.span(), expected.span()));
      ASSERT_TRUE(actual.guard_intact());
    }
  }
}

TEST_P(ElementwiseTest, RopeTurnsPairs) {
  const float cos[] = {0.0F, 1.0F};
  const float sin[] = {1.0F, 0.0F};
  float half[] = {1.0F, 2.0F, 3.0F, 4.0F};
  kernels().rope_half_split(cos, sin, 2, half);
  EXPECT_EQ((std::vector<float>{half, half + 4}), (std::vector<float>{-3.0F, 2.0F, 1.0F, 4.0F}));
  float pairs[] = {1.0F, 2.0F, 3.0F, 4.0F};
  kernels().rope_interleaved(cos, sin, 2, pairs);
  EXPECT_EQ((std::vector<float>{pairs, pairs + 4}), (std::vector<float>{-2.0F, 1.0F, 3.0F, 4.0F}));
}

TEST_P(ElementwiseTest, ArgmaxFindsTheFirstLargest) {
  for (uint32_t n = 1; n <= 70; ++n) {
    for (uint32_t at = 0; at < n; ++at) {
      GuardedFloats x(n, -1.0F);
      x.get()[at] = 2.0F;
      x.get()[n - 1] = std::max(x.get()[n - 1], 2.0F);  // an equal one behind it
      ASSERT_EQ(kernels().argmax(x.get(), n), at);
    }
  }
  const float odd[] = {kNan, -kInf, 3.0F, kNan, 3.0F};
  EXPECT_EQ(kernels().argmax(odd, 5), 2U);
  EXPECT_EQ(kernels().argmax(odd, 2), 1U);
  EXPECT_EQ(kernels().argmax(odd, 1), 0U);
}

TEST_P(ElementwiseTest, ConversionsEqualTheReference) {
  // Every 16-bit pattern one way; the other way random bits, which hit NaNs, subnormals and ties.
  std::vector<uint16_t> halves(65536);
  for (uint32_t i = 0; i < 65536; ++i) halves[i] = static_cast<uint16_t>(i);
  std::vector<float> expected(65536);
  std::vector<float> actual(65536);
  const auto* bytes = reinterpret_cast<const std::byte*>(halves.data());
  for (const auto from : {&KernelSet::f32_from_bf16, &KernelSet::f32_from_f16}) {
    (scalar_set().*from)(bytes, 65536, expected.data());
    (kernels().*from)(bytes, 65536, actual.data());
    EXPECT_TRUE(same_bits(actual, expected));
  }
  std::mt19937 random(1);
  std::vector<float> floats(100'000);
  for (float& f : floats) {
    uint32_t bits = random();
    if (random() % 2 == 0) bits &= 0xffff8000U;                        // ties of bf16
    if (random() % 2 == 0) bits = (bits & 0x8fffffffU) | 0x30000000U;  // the range of f16
    if (random() % 4 == 0) bits &= 0xfffff000U;                        // ties of f16
    f = std::bit_cast<float>(bits);
  }
  for (const auto to : {&KernelSet::bf16_from_f32, &KernelSet::f16_from_f32}) {
    std::vector<std::byte> a(2 * floats.size());
    std::vector<std::byte> b(2 * floats.size());
    (scalar_set().*to)(floats.data(), static_cast<uint32_t>(floats.size()), a.data());
    (kernels().*to)(floats.data(), static_cast<uint32_t>(floats.size()), b.data());
    EXPECT_EQ(a, b);
  }
}

TEST_P(ElementwiseTest, ConversionsOfEveryLengthStayInBounds) {
  for (uint32_t n = 0; n <= 40; ++n) {
    for (const size_t slack : {size_t{0}, size_t{1}}) {
      const GuardedFloats floats(random_floats(n, n));
      GuardedBytes halves(2 * size_t{n}, slack);
      GuardedFloats back(n);
      kernels().bf16_from_f32(floats.get(), n, halves.data());
      kernels().f32_from_bf16(halves.data(), n, back.get());
      for (uint32_t i = 0; i < n; ++i) ASSERT_EQ(back.get()[i], bf16_to_f32(f32_to_bf16(floats.get()[i])));
      kernels().f16_from_f32(floats.get(), n, halves.data());
      kernels().f32_from_f16(halves.data(), n, back.get());
      for (uint32_t i = 0; i < n; ++i) ASSERT_EQ(back.get()[i], f16_to_f32(f32_to_f16(floats.get()[i])));
      EXPECT_TRUE(halves.guard_intact() && back.guard_intact());
    }
  }
}

// Distance in units of the last place of the correctly rounded result; infinities must agree.
double ulps(float actual, double expected) {
  if (std::fabs(expected) > std::numeric_limits<float>::max())
    return actual == static_cast<float>(expected) ? 0.0 : 1e9;
  const float rounded = std::fabs(static_cast<float>(expected));
  const double ulp =
      std::max<double>(std::nextafter(rounded, kInf) - rounded, std::numeric_limits<float>::denorm_min());
  return std::fabs(actual - expected) / ulp;
}

TEST(ScalarMath, ExpIsWithinOneUlp) {
  double worst = 0.0;
  for (uint32_t bits = 0; bits < 0x42d20000U; bits += 4099) {  // 0 to 105, and the negatives
    for (const uint32_t sign : {0U, 0x80000000U}) {
      const auto x = std::bit_cast<float>(bits | sign);
      const double expected = std::exp(static_cast<double>(x));
      if (x > 88.72F) continue;
      worst = std::max(worst, ulps(scalar::exp_f32(x), expected));
    }
  }
  EXPECT_LT(worst, 1.0);
  EXPECT_EQ(scalar::exp_f32(89.0F), kInf);
  EXPECT_EQ(scalar::exp_f32(kInf), kInf);
  EXPECT_EQ(scalar::exp_f32(-104.0F), 0.0F);
  EXPECT_EQ(scalar::exp_f32(-kInf), 0.0F);
  EXPECT_TRUE(std::isnan(scalar::exp_f32(kNan)));
  EXPECT_EQ(scalar::exp_f32(0.0F), 1.0F);
}

TEST(ScalarMath, TanhIsWithinTwoUlps) {
  double worst = 0.0;
  for (uint32_t bits = 0; bits < 0x41800000U; bits += 4099) {  // 0 to 16
    const auto x = std::bit_cast<float>(bits);
    worst = std::max(worst, ulps(scalar::tanh_f32(x), std::tanh(static_cast<double>(x))));
    worst = std::max(worst, ulps(scalar::tanh_f32(-x), std::tanh(-static_cast<double>(x))));
  }
  EXPECT_LT(worst, 2.0);
  EXPECT_EQ(scalar::tanh_f32(kInf), 1.0F);
  EXPECT_EQ(scalar::tanh_f32(-kInf), -1.0F);
}

TEST_P(ElementwiseTest, GatesAreTheirFormulas) {
  const auto sigmoid = [](double x) { return 1.0 / (1.0 + std::exp(-x)); };
  const std::vector<float> gate = random_floats(500, 1, 6.0F);
  const std::vector<float> up = random_floats(500, 2, 6.0F);
  std::vector<float> y(500);
  const auto check = [&](kernel::Gate kind, const std::function<double(double, double)>& formula) {
    kernels().gated_activation({kind, 7.0F, 1.702F}, gate.data(), up.data(), 500, y.data());
    for (size_t i = 0; i < 500; ++i) {
      const double expected = formula(gate[i], up[i]);
      // A handful of roundings, amplified by the argument of exp where sigmoid is small.
      EXPECT_NEAR(y[i], expected, 0x1p-22 * (2 + std::fabs(gate[i])) * std::fabs(expected) + 1e-30)
          << static_cast<int>(kind) << " g " << gate[i] << " u " << up[i];
    }
  };
  check(kernel::Gate::kSilu, [&](double g, double u) { return g * sigmoid(g) * u; });
  check(kernel::Gate::kSiluLimited, [&](double g, double u) {
    g = std::min(g, 7.0);
    return g * sigmoid(g) * std::clamp(u, -7.0, 7.0);
  });
  check(kernel::Gate::kSwigluOai, [&](double g, double u) {
    g = std::min(g, 7.0);
    return (std::clamp(u, -7.0, 7.0) + 1.0) * g * sigmoid(1.702F * g);
  });
  kernels().gated_activation({kernel::Gate::kGeluTanh, 0.0F, 0.0F}, gate.data(), up.data(), 500, y.data());
  for (size_t i = 0; i < 500; ++i) {
    const double g = gate[i];
    const double expected =
        0.5 * g * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (g + 0.044715 * g * g * g))) * up[i];
    EXPECT_NEAR(y[i], expected, 1e-6 * std::fabs(g * up[i]));
  }
}

TEST_P(ElementwiseTest, SoftmaxSumsToOneWithItsSink) {
  std::vector<float> x = random_floats(100, 3, 5.0F);
  std::vector<double> expected(x.begin(), x.end());
  const float sink = 2.0F;
  double total = std::exp(2.0);
  for (double& v : expected) total += v = std::exp(v);
  kernels().softmax(&sink, 100, x.data());
  for (size_t i = 0; i < 100; ++i) EXPECT_NEAR(x[i], expected[i] / total, 2e-6 * expected[i] / total);
}

MACH_FOR_EACH_KERNEL_SET(ElementwiseTest);

}  // namespace
}  // namespace mach::testing
