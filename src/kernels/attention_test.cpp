// The attention kernels of every set against the formula in double precision: exactly where queries, keys and values have
// few enough bits that no set rounds them, and within the rounding of queries and weights otherwise.
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "base/aligned_buffer.h"
#include "kernels/kernel_test_support.h"
#include "quant/kv_row.h"

namespace mach::testing {
namespace {

enum class Kind { kBF16, kQ8 };

constexpr float kNothing = -std::numeric_limits<float>::infinity();

const kernel::AttentionKernels& kernels_of(const KernelSet& set, Kind kind) {
  return kind == Kind::kBF16 ? set.attention_bf16 : set.attention_q8;
}

size_t row_bytes(Kind kind, uint32_t dim) {
  return kind == Kind::kBF16 ? size_t{2} * dim : q8_row_bytes(dim);
}

float element(Kind kind, const std::byte* row, uint32_t dim, uint32_t i) {
  if (kind == Kind::kBF16) return load_bf16(row + size_t{2} * i);
  return load_f32(row + dim) * static_cast<float>(static_cast<int>(row[i]) - 128);
}

// Rows that end at a page's end.
class StoredRows {
 public:
  StoredRows(const KernelSet& set, Kind kind, uint32_t dim, const std::vector<float>& values)
      : kind_(kind), dim_(dim), bytes_(values.size() / dim * row_bytes(kind, dim)) {
    for (size_t r = 0; r < values.size() / dim; ++r) {
      std::byte* row = bytes_.data() + r * stride();
      if (kind == Kind::kBF16) {
        set.bf16_from_f32(&values[r * dim], dim, row);
      } else {
        set.q8_from_f32(&values[r * dim], dim, row);
      }
    }
  }
  const std::byte* row(size_t r) const { return bytes_.data() + r * stride(); }
  size_t stride() const { return row_bytes(kind_, dim_); }
  double at(size_t r, uint32_t i) const { return element(kind_, row(r), dim_, i); }

 private:
  Kind kind_;
  uint32_t dim_;
  GuardedBytes bytes_;
};

struct Case {
  uint32_t dim, lanes, keys;
  bool masked;
  float scale;
};

struct Inputs {
  std::vector<float> q, k, v;
};

// Small integers. The largest code of a row is 127, so that 8-bit rows hold them as they are.
std::vector<float> integers(size_t rows, uint32_t dim, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(rows * dim);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = i % dim == (i / dim) % dim ? 127.0F : static_cast<float>(random() % 7) - 3.0F;
  }
  return values;
}

// A tile over `c.keys` keys, which pass as blocks of at most 64.
class Tile {
 public:
  Tile(const KernelSet& set, Kind kind, const Case& c, const Inputs& inputs)
      : set_(set),
        kind_(kind),
        c_(c),
        inputs_(inputs),
        k_(set, kind, c.dim, inputs.k),
        v_(set, kind, c.dim, inputs.v) {
    std::mt19937 random(7);
    for (uint32_t lane = 0; lane < c.lanes; ++lane) {
      const uint32_t begin = c.masked ? static_cast<uint32_t>(random() % c.keys) : 0;
      begin_.push_back(begin);
      end_.push_back(c.masked ? begin + static_cast<uint32_t>(random() % (c.keys - begin + 1)) : c.keys);
    }
  }

  void run() {
    const uint32_t padded = kernel::padded_lanes(c_.lanes);
    AlignedBuffer queries(kernel::packed_query_bytes(c_.lanes, c_.dim));
    AlignedBuffer scratch(kernel::attention_scratch_bytes(c_.dim));
    std::vector<const float*> rows(c_.lanes);
    for (uint32_t lane = 0; lane < c_.lanes; ++lane) rows[lane] = &inputs_.q[size_t{lane} * c_.dim];
    kernels_of(set_, kind_).pack(rows.data(), c_.lanes, c_.dim, c_.scale, queries.data());
    m_.assign(padded, kNothing);
    l_.assign(padded, 0.0F);
    acc_.assign(size_t{padded} * c_.dim, 0.0F);
    for (uint32_t first = 0; first < c_.keys; first += kernel::kAttentionKeys) {
      const uint32_t count = std::min(kernel::kAttentionKeys, c_.keys - first);
      std::vector<int32_t> begin(padded, 0);
      std::vector<int32_t> end(padded, 0);
      for (uint32_t lane = 0; lane < c_.lanes; ++lane) {
        begin[lane] = static_cast<int32_t>(begin_[lane]) - static_cast<int32_t>(first);
        end[lane] = static_cast<int32_t>(end_[lane]) - static_cast<int32_t>(first);
        begin[lane] = std::max(begin[lane], 0);
      }
      kernels_of(set_, kind_)
          .attend({.lanes = c_.lanes,
                   .dim = c_.dim,
                   .queries = queries.data(),
                   .k = k_.row(first),
                   .v = v_.row(first),
                   .stride = k_.stride(),
                   .count = count,
                   .next_v = nullptr,
                   .begin = c_.masked ? begin.data() : nullptr,
                   .end = c_.masked ? end.data() : nullptr,
                   .m = m_.data(),
                   .l = l_.data(),
                   .acc = acc_.data(),
                   .scratch = scratch.data()});
    }
  }

  // Bounds: a score may be off by `score_error`, a weight by a relative `weight_error` more.
  void check(double score_slack, double weight_error) const {
    for (uint32_t lane = 0; lane < c_.lanes; ++lane) {
      const float* q = &inputs_.q[size_t{lane} * c_.dim];
      double amax = 0;
      for (uint32_t i = 0; i < c_.dim; ++i) amax = std::max(amax, double{std::fabs(q[i])});
      std::vector<double> scores(c_.keys, kNothing);
      double m = kNothing;
      double score_error = 0;
      for (uint32_t key = begin_[lane]; key < end_[lane]; ++key) {
        double sum = 0;
        double error = 0;
        for (uint32_t i = 0; i < c_.dim; ++i) {
          sum += q[i] * k_.at(key, i);
          const double rounding = kind_ == Kind::kBF16 ? std::fabs(q[i]) / 256 : amax / 250;
          error += std::fabs(k_.at(key, i)) * (score_slack * rounding + std::fabs(q[i]) * 1e-6);
        }
        scores[key] = sum * c_.scale;
        m = std::max(m, scores[key]);
        score_error = std::max(score_error, error * c_.scale);
      }
      if (begin_[lane] == end_[lane]) {
        EXPECT_EQ(m_[lane], kNothing) << "lane " << lane;
        EXPECT_EQ(l_[lane], 0.0F) << "lane " << lane;
        continue;
      }
      ASSERT_NEAR(m_[lane], m, score_error + 1e-6 * std::fabs(m)) << "lane " << lane;
      const double relative = std::exp(2 * score_error) - 1 + weight_error;
      double l = 0;
      std::vector<double> out(c_.dim);
      std::vector<double> size(c_.dim);
      for (uint32_t key = begin_[lane]; key < end_[lane]; ++key) {
        const double weight = std::exp(scores[key] - m);
        l += weight;
        for (uint32_t i = 0; i < c_.dim; ++i) {
          out[i] += weight * v_.at(key, i);
          size[i] += weight * std::fabs(v_.at(key, i));
        }
      }
      ASSERT_NEAR(l_[lane], l, (relative + 1e-5) * l) << "lane " << lane;
      for (uint32_t i = 0; i < c_.dim; ++i) {
        ASSERT_NEAR(acc_[size_t{lane} * c_.dim + i] / l_[lane], out[i] / l,
                    (2 * relative + 1e-5) * size[i] / l)
            << "lane " << lane << " element " << i;
      }
    }
  }

  const std::vector<float>& acc() const { return acc_; }

 private:
  const KernelSet& set_;
  Kind kind_;
  Case c_;
  const Inputs& inputs_;
  StoredRows k_, v_;
  std::vector<uint32_t> begin_, end_;
  std::vector<float> m_, l_, acc_;
};

std::vector<Case> cases(float scale) {
  std::vector<Case> all;
  for (const uint32_t dim : {32U, 64U, 96U, 128U, 256U}) {
    for (const uint32_t lanes : {1U, 2U, 7U, 8U, 16U, 17U, 32U, 45U}) {
      for (const uint32_t keys : {1U, 2U, 3U, 15U, 16U, 37U, 64U, 101U, 193U}) {
        if (dim * lanes * keys > 256 * 45 * 64 && dim != 96) continue;
        all.push_back(
            {dim, lanes, keys, (lanes + keys) % 2 == 1, scale / std::sqrt(static_cast<float>(dim))});
      }
    }
  }
  return all;
}

class AttentionKernelTest : public KernelSetTest {};

TEST_P(AttentionKernelTest, IsTheFormulaWhereQueriesAndKeysAreNotRounded) {
  for (const Kind kind : {Kind::kBF16, Kind::kQ8}) {
    for (Case c : cases(1.0F)) {
      c.scale = 0x1p-12F;  // scores spread over about 4
      const Inputs inputs{integers(c.lanes, c.dim, 1), integers(c.keys, c.dim, 2),
                          integers(c.keys, c.dim, 3)};
      Tile tile(kernels(), kind, c, inputs);
      tile.run();
      tile.check(0, 1.0 / 256);  // weights may be rounded to bf16
      if (HasFailure())
        FAIL() << "dim " << c.dim << " lanes " << c.lanes << " keys " << c.keys << " kind " << int(kind);
    }
  }
}

TEST_P(AttentionKernelTest, StaysWithinTheRoundingOfQueriesAndWeights) {
  for (const Kind kind : {Kind::kBF16, Kind::kQ8}) {
    for (const Case& c : cases(1.0F)) {
      const Inputs inputs{random_floats(size_t{c.lanes} * c.dim, 1), random_floats(size_t{c.keys} * c.dim, 2),
                          random_floats(size_t{c.keys} * c.dim, 3)};
      Tile tile(kernels(), kind, c, inputs);
      tile.run();
      tile.check(0.5, 1.0 / 256);
      if (HasFailure())
        FAIL() << "dim " << c.dim << " lanes " << c.lanes << " keys " << c.keys << " kind " << int(kind);
    }
  }
}

TEST_P(AttentionKernelTest, ALaneDoesNotDependOnTheOthers) {
  for (const Kind kind : {Kind::kBF16, Kind::kQ8}) {
    const Case many{64, 45, 101, false, 0.125F};
    const Inputs inputs{random_floats(45 * 64, 1), random_floats(101 * 64, 2), random_floats(101 * 64, 3)};
    Tile all(kernels(), kind, many, inputs);
    all.run();
    for (const uint32_t lane : {0U, 15U, 16U, 31U, 44U}) {
      Case one = many;
      one.lanes = 1;
      const Inputs alone{
          {inputs.q.begin() + lane * 64, inputs.q.begin() + (lane + 1) * 64}, inputs.k, inputs.v};
      Tile single(kernels(), kind, one, alone);
      single.run();
      EXPECT_TRUE(
          same_bits(std::span(all.acc()).subspan(size_t{lane} * 64, 64), std::span(single.acc()).first(64)));
    }
  }
}

TEST_P(AttentionKernelTest, ANanOfAQueryShows) {
  for (const Kind kind : {Kind::kBF16, Kind::kQ8}) {
    Inputs inputs{random_floats(3 * 32, 1), random_floats(5 * 32, 2), random_floats(5 * 32, 3)};
    inputs.q[40] = std::numeric_limits<float>::quiet_NaN();
    Tile tile(kernels(), kind, {32, 3, 5, false, 1.0F}, inputs);
    tile.run();
    EXPECT_FALSE(std::isnan(tile.acc()[0]));
    EXPECT_TRUE(std::isnan(tile.acc()[32]));
    EXPECT_FALSE(std::isnan(tile.acc()[64]));
  }
}

TEST_P(AttentionKernelTest, EightBitRowsAreTheSameBytesEverywhere) {
  const KernelSet& scalar = select_kernel_set(kNoFeatures, "scalar");
  for (const uint32_t n : {4U, 8U, 12U, 32U, 100U, 256U}) {
    std::vector<std::vector<float>> rows = {random_floats(n, n), std::vector<float>(n, 0.0F),
                                            random_floats(n, n, 1e-32F), random_floats(n, n, 1e30F)};
    rows.push_back(rows[0]);
    rows.back()[n - 1] = std::numeric_limits<float>::infinity();
    rows.push_back(rows[0]);
    rows.back()[n / 2] = std::numeric_limits<float>::quiet_NaN();
    for (size_t r = 0; r < rows.size(); ++r) {
      const GuardedFloats x(rows[r]);
      const GuardedBytes wanted(q8_row_bytes(n));
      const GuardedBytes got(q8_row_bytes(n));
      scalar.q8_from_f32(x.get(), n, wanted.data());
      kernels().q8_from_f32(x.get(), n, got.data());
      EXPECT_EQ(std::memcmp(wanted.data(), got.data(), n), 0) << "row " << r << " of " << n;
      const float scales[] = {load_f32(wanted.data() + n), load_f32(got.data() + n)};
      EXPECT_TRUE(same_bits({&scales[0], 1}, {&scales[1], 1})) << "row " << r << " of " << n;
      EXPECT_TRUE(got.guard_intact());
      if (r == 0) {
        for (uint32_t i = 0; i < n; ++i)
          EXPECT_NEAR(element(Kind::kQ8, got.data(), n, i), x.get()[i], 0.51F * scales[0]);
      }
    }
  }
}

MACH_FOR_EACH_KERNEL_SET(AttentionKernelTest);

}  // namespace
}  // namespace mach::testing
