// The head in 8 bits, with its largest logits computed again from the floats it came from.
#include "model/blocks/head.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/aligned_buffer.h"
#include "base/cpu_features.h"
#include "kernels/kernel_test_support.h"
#include "model/workspace.h"
#include "quant/eight_bit.h"
#include "quant/packing.h"

namespace mach {
namespace {

constexpr uint32_t kHidden = 128;
constexpr uint32_t kVocab = 5003;  // the last block of logits is short
constexpr uint32_t kRows = 3;

class EightBitHead : public ::testing::Test {
 protected:
  EightBitHead() {
    std::mt19937 random(11);
    std::normal_distribution<float> normal(0.0F, 0.3F);
    for (float& w : weights_) w = normal(random);
    for (float& v : x_) v = normal(random);
  }

  WeightMatrix stored() const {
    return {.rows = kVocab,
            .cols = kHidden,
            .codes = {reinterpret_cast<const std::byte*>(weights_.data()), kHidden * sizeof(float)}};
  }

  std::vector<float> logits(bool again, std::span<const float> bias = {}) {
    const WeightMatrix floats = stored();
    AlignedBuffer block(ordered_bytes(WeightOrder::kPanels, kEightBit, kVocab, kHidden), kPackedAlignment);
    encode_eight_bit_panels(floats, 0, panel_count(kVocab), block.bytes());
    Head head{.norm = {norm_, 1e-6F}, .projection = {}, .softcap = {}};
    head.projection = {.weight = ordered_view(WeightOrder::kPanels, kEightBit, kVocab, kHidden, block.data()),
                       .bias = bias};
    if (again) head.stored = floats;
    ThreadPool pool(2);
    Workspace workspace(pool, select_kernel_set(probe_cpu_features()));
    normed_ = x_;
    std::vector<float> out(size_t{kRows} * kVocab);
    compute_logits(workspace, head, {normed_.data(), kRows, kHidden}, 0, out);
    return out;
  }

  double exact(uint32_t row, uint32_t id, std::span<const float> bias = {}) const {
    double sum = bias.empty() ? 0.0 : bias[id];
    for (uint32_t c = 0; c < kHidden; ++c)
      sum += double{weights_[size_t{id} * kHidden + c]} * normed_[size_t{row} * kHidden + c];
    return sum;
  }

  std::vector<float> weights_ = std::vector<float>(size_t{kVocab} * kHidden);
  std::vector<float> x_ = std::vector<float>(size_t{kRows} * kHidden);
  std::vector<float> normed_;
  std::vector<float> norm_ = std::vector<float>(kHidden, 1.0F);
};

TEST_F(EightBitHead, ComputesTheLargestLogitsAgain) {
  const std::vector<float> bias(kVocab, 0.25F);
  const std::vector<float> rounded = logits(false, bias);
  const std::vector<float> got = logits(true, bias);
  for (uint32_t row = 0; row < kRows; ++row) {
    std::vector<double> want(kVocab);
    for (uint32_t id = 0; id < kVocab; ++id) want[id] = exact(row, id, bias);
    std::vector<uint32_t> order(kVocab);
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return want[a] > want[b]; });
    // The last of 32 may be another where logits lie close together.
    double worst = 0;
    for (uint32_t i = 0; i < 24; ++i) {
      EXPECT_NEAR(got[row * size_t{kVocab} + order[i]], want[order[i]], 1e-5);
      worst = std::max(worst, std::fabs(rounded[row * size_t{kVocab} + order[i]] - want[order[i]]));
    }
    EXPECT_GT(worst, 1e-4);  // or there would be nothing to show
    uint32_t changed = 0;
    for (uint32_t id = 0; id < kVocab; ++id)
      changed += got[row * size_t{kVocab} + id] != rounded[row * size_t{kVocab} + id] ? 1 : 0;
    EXPECT_GE(changed, 24U);
    EXPECT_LE(changed, 64U);
  }
}

// Then all are the largest.
TEST_F(EightBitHead, GivesUpOnManyEqualLogits) {
  for (uint32_t id = 1; id < kVocab; ++id)
    std::copy_n(weights_.begin(), kHidden, weights_.begin() + size_t{id} * kHidden);
  const std::vector<float> rounded = logits(false);
  const std::vector<float> got = logits(true);
  size_t changed = 0;
  for (size_t i = 0; i < kVocab; ++i) changed += got[i] != rounded[i] ? 1 : 0;
  EXPECT_EQ(changed, 256U);
}

}  // namespace
}  // namespace mach
