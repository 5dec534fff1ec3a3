// Figures of published models: specs/<family>.md sections 1, 3 and 4, and model cards where named.
#include "arch/model_bytes.h"

#include <gtest/gtest.h>

#include "arch/catalog_for_test.h"
#include "io/checkpoint_files.h"

namespace mach {
namespace {

using testing::published_config;

struct Figures {
  std::string name;
  double total_billions, active_billions;  // to the precision that is published
  uint64_t expert_bytes;                   // as the config says it is stored
  uint64_t kv_per_token, windows, state;   // bf16
};

class Published : public ::testing::TestWithParam<Figures> {
 protected:
  ModelConfig config_ = parse_model_config(published_config(GetParam().name), GetParam().name);
};

TEST_P(Published, ParameterCounts) {
  const ParameterCounts counts = count_parameters(config_);
  EXPECT_NEAR(static_cast<double>(counts.total) / 1e9, GetParam().total_billions, 0.051);
  EXPECT_NEAR(static_cast<double>(counts.active) / 1e9, GetParam().active_billions, 0.051);
}

TEST_P(Published, ExpertBytes) {
  const ModelBytes bytes = estimate_model_bytes(config_).value();
  ASSERT_EQ(bytes.expert.size(), config_.moe_layer_count());
  for (const uint64_t expert : bytes.expert) EXPECT_EQ(expert, GetParam().expert_bytes);
  EXPECT_EQ(bytes.routed, GetParam().expert_bytes * config_.moe.experts * config_.moe_layer_count());
  EXPECT_EQ(bytes.token_working_set, GetParam().expert_bytes * config_.moe.top_k * config_.moe_layer_count());
}

TEST_P(Published, KvBytes) {
  const KvBytes kv = kv_bytes(config_, KvElement::kBF16);
  EXPECT_EQ(kv.per_token, GetParam().kv_per_token);
  EXPECT_EQ(kv.windows, GetParam().windows);
  EXPECT_EQ(kv.state, GetParam().state);
  // Every window is full and every entry closed at this length.
  const uint32_t context = 65536;
  EXPECT_EQ(kv_bytes_at(config_, context, KvElement::kBF16), context * kv.per_token + kv.windows + kv.state);
  EXPECT_EQ(kv_bytes_at(config_, 0, KvElement::kBF16), kv.state);
}

INSTANTIATE_TEST_SUITE_P(
    Models, Published,
    ::testing::Values(
        // 3 * 768 * 2048 weights of 2 bytes; 48 layers * 2 * 4 heads * 128 * 2 bytes.
        Figures{"qwen3-30b-a3b", 30.5, 3.04, 9437184, 98304, 0, 0},
        Figures{"qwen3.6-35b-a3b", 34.66, 2.95, 6291456, 20480, 0, 64389120},
        // 17 bytes per 32 weights and bf16 biases; 12 or 18 full layers of 2048 B and as many windows of 128 rows.
        Figures{"gpt-oss-20b", 20.9, 3.6, 13236480, 24576, 3145728, 0},
        Figures{"gpt-oss-120b", 116.8, 5.1, 13236480, 36864, 4718592, 0},
        Figures{"gemma-4-26b-a4b", 25.2, 3.8, 11894784, 20480, 209715200, 0},
        // Pending rows in fp32: 21 CSA layers of 3 open and 4 overlapping rows, 20 HCA layers of 127 rows.
        Figures{"deepseek-v4-flash", 284.3, 13.3, 13369344, 6880, 5636096,
                21 * (3 * 4 + 4 * 2) * (512 + 128) * 4 + 20 * 127 * 1024 * 4}),
    [](const ::testing::TestParamInfo<Figures>& param) {
      std::string name = param.param.name;
      for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
      return name;
    });

TEST(ModelBytes, GemmaPartsAddUp) {
  const ModelConfig config = parse_model_config(published_config("gemma-4-26b-a4b"));
  const ParameterCounts counts = count_parameters(config);
  EXPECT_NEAR(static_cast<double>(counts.routed) / 1e9, 22.84, 0.005);
  EXPECT_EQ(counts.embedding, 0U);  // the same table is the head
}

TEST(ModelBytes, DeepSeekFileSize) {
  const ModelConfig config = parse_model_config(published_config("deepseek-v4-flash"));
  const ModelBytes bytes = estimate_model_bytes(config).value();
  // The published file is 159.6 GB, routed experts 150.6 GB; both include one MTP layer, which is not counted here.
  const double with_mtp = static_cast<double>(bytes.routed) * 44 / 43;
  EXPECT_NEAR(with_mtp / 1e9, 150.6, 0.05);
  // Its other tensors: one sliding layer in FP8 (0.11 GB of attention, 0.03 GB of shared expert) and two projections.
  EXPECT_NEAR((static_cast<double>(bytes.resident) + with_mtp) / 1e9 + 0.17, 159.6, 0.1);
}

TEST(ModelBytes, ShortContextsDoNotFillWindows) {
  const ModelConfig config = parse_model_config(published_config("gpt-oss-20b"));
  EXPECT_EQ(kv_bytes_at(config, 10, KvElement::kBF16), 10 * 24 * 2048U);
  EXPECT_EQ(kv_bytes_at(config, 128, KvElement::kBF16), 128 * 24 * 2048U);
  EXPECT_EQ(kv_bytes_at(config, 129, KvElement::kBF16), 128 * 24 * 2048U + 12 * 2048U);
  EXPECT_EQ(kv_bytes_at(config, 10, KvElement::kF32), 2 * 10 * 24 * 2048U);
  EXPECT_EQ(kv_bytes_at(config, 10, KvElement::kQ8), 10 * 24 * (2 * 8 * (64 + 4)));  // 8 KV heads of 64
}

TEST(ModelBytes, GgufExpertsCannotBeEstimated) {
  auto json = published_config("qwen3-30b-a3b");
  json["quantization"] = {{"bits", 4}, {"group_size", 64}, {"expert_format", "gguf"}};
  EXPECT_FALSE(estimate_model_bytes(parse_model_config(json)).has_value());
}

// Estimates are exact where a file is stored as its config announces.
TEST(ModelBytes, EstimateMatchesTheFiles) {
  const auto shared = testing::shared_dir();
  if (!shared) GTEST_SKIP() << testing::kNoSharedDir;
  for (const char* name :
       {"models/mini-qwen3_moe", "models/mini-qwen3_moe-mlx-4bit", "models/mini-gpt_oss",
        "models/mini-gpt_oss-mxfp4", "models/mini-gemma4", "models/mini-gemma4-mlx-4bit",
        "models/mini-qwen3_5_moe", "models/mini-deepseek_v4", "models/mini-deepseek_v4-fp8-fp4",
        "fixtures/nano/qwen3_moe", "fixtures/nano/gpt_oss-mxfp4"}) {
    const std::filesystem::path folder = *shared / name;
    const ModelConfig config = parse_model_config(read_json_file(folder / "config.json"), name);
    const ModelBytes exact = model_bytes(config, build_tensor_plan(config, read_tensor_catalog(folder)));
    const ModelBytes estimate = estimate_model_bytes(config).value();
    EXPECT_EQ(estimate.resident, exact.resident) << name;
    EXPECT_EQ(estimate.routed, exact.routed) << name;
    EXPECT_EQ(estimate.expert, exact.expert) << name;
  }
}

}  // namespace
}  // namespace mach
