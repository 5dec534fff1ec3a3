// A mini checkpoint and its quantised copy hold the same weights. Read through their plans, whatever their layouts (turned,
// interleaved, stacked, sliced), every parameter must agree up to quantisation noise: a view that is one row, one expert or
// one projection off does not correlate at all.
#include <algorithm>
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "arch/catalog_for_test.h"
#include "arch/tensor_plan.h"
#include "io/checkpoint_files.h"
#include "quant/decode.h"

namespace mach {
namespace {

class Stored {
 public:
  explicit Stored(const std::filesystem::path& folder)
      : files_(CheckpointFiles::open(folder)),
        config_(parse_model_config(read_json_file(folder / "config.json"), folder.string())),
        plan_(build_tensor_plan(config_, files_.catalog())) {}

  const TensorPlan& plan() const { return plan_; }
  uint32_t layers() const { return config_.layer_count(); }

  std::vector<float> row(const WeightRef& ref, uint32_t r) const {
    std::vector<float> out(ref.cols);
    if (ref.transposed) {
      EXPECT_EQ(ref.format.codec, CodecId::kBF16);
      const std::byte* begin = at(ref.codes) + r * ref.codes.row_stride;
      for (uint32_t c = 0; c < ref.cols; ++c) out[c] = bf16(begin + c * ref.col_stride);
      return out;
    }
    WeightMatrix matrix{.format = ref.format, .rows = ref.rows, .cols = ref.cols};
    matrix.codes = {at(ref.codes), ref.codes.row_stride};
    if (ref.scales) matrix.scales = {at(*ref.scales), ref.scales->row_stride};
    if (ref.biases) matrix.biases = {at(*ref.biases), ref.biases->row_stride};
    decode_row(matrix, r, out);
    return out;
  }

 private:
  const std::byte* at(const PlaneRef& plane) const {
    const TensorLocation& tensor = plan_.tensors[plane.tensor];
    return files_.shard(tensor.shard).bytes().data() + tensor.offset + plane.offset;
  }
  static float bf16(const std::byte* bytes) {
    uint32_t bits = 0;
    std::memcpy(reinterpret_cast<char*>(&bits) + 2, bytes, 2);
    float value = 0;
    std::memcpy(&value, &bits, 4);
    return value;
  }

  CheckpointFiles files_;
  ModelConfig config_;
  TensorPlan plan_;
};

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

struct Pair {
  std::string master, copy;
};

class StoredForms : public ::testing::TestWithParam<Pair> {};

// 4-bit rounding of 256 weights leaves a cosine above 0.99; rows of different origin are near 0.
constexpr double kSame = 0.98;

void expect_same(const Stored& master, const Stored& copy, const std::string& name, const WeightRef& a,
                 const WeightRef& b) {
  ASSERT_EQ(a.rows, b.rows) << name;
  ASSERT_EQ(a.cols, b.cols) << name;
  for (const uint32_t r : {0U, 1U, a.rows / 2, a.rows - 1}) {
    if (r >= a.rows) continue;
    EXPECT_GT(cosine(master.row(a, r), copy.row(b, r)), kSame) << name << " row " << r;
  }
}

TEST_P(StoredForms, HoldTheSameWeights) {
  const auto shared = testing::shared_dir();
  if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
  const Stored master(*shared / "models" / GetParam().master);
  const Stored copy(*shared / "models" / GetParam().copy);
  ASSERT_EQ(master.plan().matrices.size(), copy.plan().matrices.size());
  for (const auto& [name, a] : master.plan().matrices) {
    // Tokens that training never saw have rows of almost nothing, which 4 bits round away.
    if (name == "embed_tokens" || name == "lm_head") continue;
    expect_same(master, copy, name, a, copy.plan().matrix(name));
  }
  for (size_t i = 0; i < master.plan().experts.size(); ++i) {
    const ExpertLayerPlan& a = master.plan().experts[i];
    const ExpertLayerPlan& b = copy.plan().experts[i];
    ASSERT_EQ(a.experts.size(), b.experts.size());
    for (size_t e = 0; e < a.experts.size(); ++e) {
      const std::string name = "layer " + std::to_string(a.layer) + " expert " + std::to_string(e);
      expect_same(master, copy, name + " gate", a.experts[e].gate, b.experts[e].gate);
      expect_same(master, copy, name + " up", a.experts[e].up, b.experts[e].up);
      expect_same(master, copy, name + " down", a.experts[e].down, b.experts[e].down);
    }
  }
}

TEST_P(StoredForms, NeighbouringRowsAreDifferent) {
  const auto shared = testing::shared_dir();
  if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
  const Stored master(*shared / "models" / GetParam().master);
  const Stored copy(*shared / "models" / GetParam().copy);
  const ExpertRef& a = master.plan().experts[0].experts[1];
  const ExpertRef& b = copy.plan().experts[0].experts[1];
  EXPECT_LT(cosine(master.row(a.gate, 5), copy.row(b.up, 5)), 0.5);
  EXPECT_LT(cosine(master.row(a.gate, 5), copy.row(b.gate, 6)), 0.5);
  EXPECT_LT(cosine(master.row(a.gate, 5), copy.row(copy.plan().experts[0].experts[2].gate, 5)), 0.5);
}

INSTANTIATE_TEST_SUITE_P(Minis, StoredForms,
                         ::testing::Values(Pair{"mini-qwen3_moe", "mini-qwen3_moe-mlx-4bit"},
                                           Pair{"mini-gemma4", "mini-gemma4-mlx-4bit"},
                                           Pair{"mini-gpt_oss", "mini-gpt_oss-mxfp4"},
                                           Pair{"mini-deepseek_v4", "mini-deepseek_v4-fp8-fp4"}));

}  // namespace
}  // namespace mach
