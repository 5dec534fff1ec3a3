// Attention against the formula in double precision, over paged and ring caches, short and long pasts, with
// windows and sinks; and bit for bit against itself for every way of cutting the tokens into passes.
#include "model/blocks/attention.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/cpu_features.h"
#include "model/caches/paged_kv.h"
#include "model/caches/ring_kv.h"
#include "model/workspace.h"

namespace mach {
namespace {

struct Case {
  const char* name;
  uint32_t heads;
  KvShape kv;
  uint32_t window;
  bool sinks;
  uint32_t tokens;
};

std::vector<float> random_floats(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// Queries, keys, values of `tokens` tokens and the attention over them, as one sequence.
class Sequence {
 public:
  explicit Sequence(const Case& c)
      : case_(c),
        q_(random_floats(size_t{c.tokens} * q_dim(), 1)),
        k_(random_floats(size_t{c.tokens} * kv_dim(), 2)),
        v_(random_floats(size_t{c.tokens} * kv_dim(), 3)),
        sinks_(c.sinks ? random_floats(c.heads, 4) : std::vector<float>()) {
    if (c.window == 0) {
      cache_ = std::make_unique<PagedKv>(c.kv);
    } else {
      cache_ = std::make_unique<RingKv>(c.kv, c.window, 8);
    }
  }

  uint32_t q_dim() const { return case_.heads * case_.kv.head_dim; }
  uint32_t kv_dim() const { return case_.kv.kv_heads * case_.kv.head_dim; }

  // Attends for tokens [first, first + count) as one pass; appends to out().
  void pass(Workspace& workspace, uint32_t first, uint32_t count) {
    const ScratchArena::Frame frame(workspace.arena());
    const AttentionSequence sequence{.cache = cache_.get(), .first_row = 0, .rows = count, .position = first};
    const FloatRows k{&k_[size_t{first} * kv_dim()], count, kv_dim()};
    const FloatRows v{&v_[size_t{first} * kv_dim()], count, kv_dim()};
    const FloatRows q{&q_[size_t{first} * q_dim()], count, q_dim()};
    const size_t before = out_.size();
    out_.resize(before + size_t{count} * q_dim());
    store_kv(workspace, {&sequence, 1}, k, v);
    attend(workspace, shape(), {&sequence, 1}, q, {&out_[before], count, q_dim()});
    cache_->commit();
  }

  std::vector<float> run(Workspace& workspace, const std::vector<uint32_t>& chunks) {
    uint32_t first = 0;
    for (size_t part = 0; first < case_.tokens; ++part) {
      const uint32_t count = std::min(chunks[part % chunks.size()], case_.tokens - first);
      pass(workspace, first, count);
      first += count;
    }
    return out_;
  }

  // Head `head` of token `t` in double precision.
  std::vector<double> expected(uint32_t t, uint32_t head) const {
    const uint32_t dim = case_.kv.head_dim;
    const uint32_t kv_head = head / (case_.heads / case_.kv.kv_heads);
    const uint32_t begin = case_.window != 0 && t >= case_.window ? t - case_.window + 1 : 0;
    std::vector<double> scores;
    for (uint32_t j = begin; j <= t; ++j) {
      double dot = 0;
      for (uint32_t c = 0; c < dim; ++c) {
        dot +=
            double{q_[size_t{t} * q_dim() + head * dim + c]} * k_[size_t{j} * kv_dim() + kv_head * dim + c];
      }
      scores.push_back(dot * shape().scale);
    }
    double m = *std::max_element(scores.begin(), scores.end());
    if (case_.sinks) m = std::max(m, double{sinks_[head]});
    double sum = case_.sinks ? std::exp(sinks_[head] - m) : 0;
    std::vector<double> out(dim);
    for (uint32_t j = begin; j <= t; ++j) {
      const double p = std::exp(scores[j - begin] - m);
      sum += p;
      for (uint32_t c = 0; c < dim; ++c) out[c] += p * v_[size_t{j} * kv_dim() + kv_head * dim + c];
    }
    for (double& x : out) x /= sum;
    return out;
  }

  AttentionShape shape() const {
    return {.heads = case_.heads, .scale = 0.3F, .window = case_.window, .sinks = sinks_};
  }

 private:
  const Case case_;
  std::vector<float> q_, k_, v_, sinks_;
  std::unique_ptr<KvCache> cache_;
  std::vector<float> out_;
};

class AttentionTest : public ::testing::TestWithParam<Case> {
 protected:
  AttentionTest() : workspace_(pool_, select_kernel_set(probe_cpu_features())) {}
  ThreadPool pool_{1};
  Workspace workspace_;
};

TEST_P(AttentionTest, EqualsTheFormula) {
  const Case& c = GetParam();
  Sequence sequence(c);
  const auto out = sequence.run(workspace_, {97});
  // Six standard deviations of a score's error when keys, and in the kernels queries too, are rounded: bf16 by at most
  // 2^-9 of an element near 1, 8 bits by half a step of a largest element near 3. Values are rounded alike.
  const double rounding = c.kv.element == KvElement::kBF16 ? 0x1p-9 : 1.5 / 127;
  const double rounded = c.kv.head_dim % kernel::kAttentionDims == 0 ? 2 : 1;
  const double tolerance = c.kv.element == KvElement::kF32
                               ? 5e-6
                               : 6 * 0.3 * std::sqrt(rounded * c.kv.head_dim / 3) * rounding + 2 * rounding;
  for (uint32_t t = 0; t < c.tokens; t += t < 200 ? 7 : 61) {
    for (uint32_t head = 0; head < c.heads; ++head) {
      const auto wanted = sequence.expected(t, head);
      for (uint32_t i = 0; i < c.kv.head_dim; ++i) {
        ASSERT_NEAR(out[size_t{t} * sequence.q_dim() + head * c.kv.head_dim + i], wanted[i], tolerance)
            << "token " << t << " head " << head;
      }
    }
  }
}

TEST_P(AttentionTest, DoesNotDependOnPassesOrThreads) {
  const Case& c = GetParam();
  const auto wanted = Sequence(c).run(workspace_, {c.tokens});
  EXPECT_EQ(Sequence(c).run(workspace_, {1, 200, 31}), wanted);
  // Enough threads that single tokens of a long past are split into spans.
  ThreadPool many(8);
  Workspace parallel(many, select_kernel_set(probe_cpu_features()));
  EXPECT_EQ(Sequence(c).run(parallel, {c.tokens}), wanted);
  EXPECT_EQ(Sequence(c).run(parallel, {c.tokens - 5, 1, 2}), wanted);
}

constexpr KvShape kTwoHeads{.kv_heads = 2, .head_dim = 16, .element = KvElement::kF32};
constexpr KvShape kHalf{.kv_heads = 1, .head_dim = 40, .element = KvElement::kBF16};
// Whole vectors: the attention kernels of fast mode.
constexpr KvShape kFast{.kv_heads = 2, .head_dim = 64, .element = KvElement::kBF16};
constexpr KvShape kByte{.kv_heads = 2, .head_dim = 64, .element = KvElement::kQ8};

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttentionTest,
    ::testing::Values(
        Case{"grouped", 6, kTwoHeads, 0, false, 300}, Case{"long_past", 4, kTwoHeads, 0, false, 2500},
        Case{"long_past_sinks", 2, kTwoHeads, 0, true, 2100},
        Case{"window_sinks", 4, kTwoHeads, 128, true, 700},
        Case{"window_over_spans", 2, kTwoHeads, 1500, false, 2600},
        Case{"window_1", 2, kTwoHeads, 1, false, 70}, Case{"bf16", 8, kHalf, 0, false, 200},
        Case{"bf16_window", 48, kHalf, 33, true, 150}, Case{"fast", 6, kFast, 0, false, 300},
        Case{"fast_long_past_sinks", 4, kFast, 0, true, 2500}, Case{"fast_window", 8, kFast, 128, true, 700},
        Case{"fast_odd_window", 16, kFast, 33, false, 300},
        Case{"fast_window_over_spans", 2, kFast, 1500, false, 2600},
        Case{"fast_window_1", 2, kFast, 1, false, 70}, Case{"q8", 6, kByte, 0, false, 300},
        Case{"q8_long_past", 4, kByte, 0, true, 2100}, Case{"q8_window", 8, kByte, 33, true, 300}),
    [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace mach
