// What only one family has.
#include <gtest/gtest.h>

#include "arch/checkpoint_for_test.h"
#include "arch/tensor_plan.h"

namespace mach {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

constexpr ErrorCode kCorrupt = ErrorCode::kCorruptFile;

TEST(QwenHybridPlan, NormsGetTheirOneUnlessMlxAddedIt) {
  const ModelConfig config = parse(hybrid_json());
  FakeTensors tensors = dense_tensors(config);
  add_fused(tensors, config, ".mlp");
  TensorPlan plan = plan_of(hybrid_json(), tensors);
  for (const char* name : {"norm", "layers.0.input_layernorm", "layers.1.post_attention_layernorm",
                           "layers.1.self_attn.q_norm", "layers.1.self_attn.k_norm"}) {
    EXPECT_EQ(plan.vector(name).add, 1.0F) << name;
  }
  EXPECT_EQ(plan.vector("layers.0.linear_attn.norm").add, 0.0F);
  EXPECT_EQ(plan.vector("layers.0.linear_attn.conv1d").count, 128U * 4);

  tensors["model.layers.0.linear_attn.conv1d.weight"].shape = {128, 4, 1};
  plan = plan_of(hybrid_json(), tensors);
  EXPECT_EQ(plan.vector("norm").add, 0.0F);
  EXPECT_EQ(plan.vector("layers.1.self_attn.q_norm").add, 0.0F);
  EXPECT_EQ(plan.vector("layers.0.linear_attn.conv1d").count, 128U * 4);
  tensors["model.layers.0.linear_attn.conv1d.weight"].shape = {4, 128, 1};
  expect_refused(hybrid_json(), tensors, kCorrupt, {"conv1d.weight has shape [4, 128, 1]", "[128, 4]"});
}

TEST(GemmaPlan, SharedLayersIgnoreTheirOwnKeys) {
  json config = gemma_json();
  config["num_kv_shared_layers"] = 2;
  const ModelConfig parsed = parse(config);
  FakeTensors tensors = dense_tensors(parsed);
  add_fused(tensors, parsed, "");
  EXPECT_FALSE(tensors.contains("model.layers.2.self_attn.k_proj.weight"));
  tensors["model.layers.2.self_attn.k_proj.weight"] = {"BF16", {128, 256}};
  tensors.erase("lm_head.weight");  // tied
  const TensorPlan plan = plan_of(config, tensors);
  EXPECT_EQ(plan.find_matrix("layers.2.self_attn.k_proj"), nullptr);
  ASSERT_EQ(plan.skipped.size(), 1U);
  EXPECT_EQ(plan.skipped[0].reason, "layer 2 reads the K and V of layer 0");
}

TEST(GemmaPlan, LayersWithoutVAndWithoutScalar) {
  json config = gemma_json();
  config["attention_k_eq_v"] = true;
  const ModelConfig parsed = parse(config);
  FakeTensors tensors = dense_tensors(parsed);
  add_fused(tensors, parsed, "");
  tensors.erase("model.layers.3.layer_scalar");
  const TensorPlan plan = plan_of(config, tensors);
  EXPECT_EQ(plan.find_matrix("layers.1.self_attn.v_proj"), nullptr);
  EXPECT_NE(plan.find_matrix("layers.0.self_attn.v_proj"), nullptr);
  EXPECT_EQ(plan.find_vector("layers.3.layer_scalar"), nullptr);
  EXPECT_NE(plan.find_vector("layers.2.layer_scalar"), nullptr);
}

TEST(GemmaPlan, PerLayerEmbeddings) {
  json config = gemma_json();
  config.update({{"hidden_size_per_layer_input", 32}, {"vocab_size_per_layer_input", 90}});
  const ModelConfig parsed = parse(config);
  FakeTensors tensors = dense_tensors(parsed);
  add_fused(tensors, parsed, "");
  const TensorPlan plan = plan_of(config, tensors);
  EXPECT_EQ(plan.matrix("embed_tokens_per_layer").rows, 90U);
  EXPECT_EQ(plan.matrix("embed_tokens_per_layer").cols, 4U * 32);
  EXPECT_EQ(plan.matrix("layers.3.per_layer_input_gate").rows, 32U);
}

FakeTensors deepseek_fused() {
  const ModelConfig config = parse(deepseek_json());
  FakeTensors tensors = dense_tensors(config);
  add_fused(tensors, config, ".mlp");
  return tensors;
}

TEST(DeepSeekPlan, SavedNamesWithFusedOrSlicedExperts) {
  const TensorPlan fused = plan_of(deepseek_json(), deepseek_fused());
  EXPECT_EQ(fused.layout, ExpertLayout::kStacked);
  EXPECT_THAT(fused.unused, ::testing::IsEmpty());
  EXPECT_EQ(fused.integer("layers.0.mlp.gate.tid2eid").width, 8);
  EXPECT_EQ(fused.matrix("layers.1.self_attn.compressor.indexer.kv_proj").rows, 64U);
  EXPECT_EQ(fused.vector("layers.2.self_attn.compressor.position_bias").count, 128U * 64);

  const ModelConfig config = parse(deepseek_json());
  for (const std::vector<std::string>& names :
       {std::vector<std::string>{"w1", "w3", "w2"}, {"gate_proj", "up_proj", "down_proj"}}) {
    FakeTensors tensors = dense_tensors(config);
    for (uint32_t layer = 0; layer < 3; ++layer) add_sliced(tensors, config, ".mlp", layer, names);
    const TensorPlan plan = plan_of(deepseek_json(), tensors);
    EXPECT_EQ(plan.layout, ExpertLayout::kSliced);
    EXPECT_EQ(plan.experts_of(2)->experts[3].down.rows, 256U);
  }
}

TEST(DeepSeekPlan, RoutersMustFitTheirLayers) {
  FakeTensors tensors = deepseek_fused();
  tensors.erase("model.layers.0.mlp.gate.tid2eid");
  tensors["model.layers.0.mlp.gate.e_score_correction_bias"] = {"F32", {4}};
  expect_refused(deepseek_json(), tensors, kCorrupt, {"model.layers.0.mlp.gate.tid2eid"});
  tensors = deepseek_fused();
  tensors["model.layers.0.mlp.gate.tid2eid"] = {"I64", {96, 3}};
  expect_refused(deepseek_json(), tensors, kCorrupt, {"tid2eid has shape [96, 3]", "[96, 2]"});
  tensors["model.layers.0.mlp.gate.tid2eid"] = {"F32", {96, 2}};
  expect_refused(deepseek_json(), tensors, kCorrupt, {"tid2eid is F32", "I64"});
  tensors["model.layers.0.mlp.gate.tid2eid"] = {"I32", {96, 2}};
  EXPECT_EQ(plan_of(deepseek_json(), tensors).integer("layers.0.mlp.gate.tid2eid").width, 4);
}

TEST(DeepSeekPlan, CutOffBlocksOfThePublishedQuantiser) {
  // 96 rows are one block of 128; 192 rows in two block rows are 128 and 64 (specs/deepseek_v4.md 4.1).
  json config = deepseek_json();
  config["q_lora_rank"] = 192;
  config["quantization_config"] = {
      {"quant_method", "fp8"}, {"weight_block_size", {128, 128}}, {"scale_fmt", "ue8m0"}};
  const ModelConfig parsed = parse(config);
  FakeTensors tensors = dense_tensors(parsed);
  add_fused(tensors, parsed, ".mlp");
  tensors["model.layers.0.self_attn.q_a_proj.weight"].dtype = "F8_E4M3";
  tensors["model.layers.0.self_attn.q_a_proj.weight_scale_inv"] = {"F8_E8M0", {2, 2}};
  const WeightFormat format = plan_of(config, tensors).matrix("layers.0.self_attn.q_a_proj").format;
  EXPECT_EQ(format, (WeightFormat{CodecId::kFp8Block, ScaleType::kE8M0, 8, 128, 128}));
}

// Tensors of the prediction block of a DeepSeek checkpoint under its published names, from the parameter list.
TEST(MtpPlan, DeepSeekBlock) {
  json config = deepseek_json();
  config["num_nextn_predict_layers"] = 1;
  const ModelConfig parsed = parse(config);
  FakeTensors tensors = deepseek_fused();
  EXPECT_EQ(plan_of(config, tensors, {.mtp = true}).mtp_layers, 0U);  // announced, not there
  for (const Parameter& parameter : arch_row(parsed.family).mtp_parameters(parsed).parameters) {
    const bool matrix = parameter.kind == ParameterKind::kMatrix;
    const std::string& name = parameter.spellings.front();
    const bool bare =
        name.find("hc_") != std::string::npos || name.ends_with(".bias") || name.ends_with("attn_sink");
    tensors[name + (bare ? "" : ".weight")] =
        matrix ? FakeTensor{"BF16", {parameter.rows, parameter.cols}} : FakeTensor{"F32", {parameter.cols}};
  }
  tensors["mtp.0.ffn.experts.gate_up_proj"] = {"BF16", {4, 256, 256}};
  tensors["mtp.0.ffn.experts.down_proj"] = {"BF16", {4, 256, 128}};
  const TensorPlan plan = plan_of(config, tensors, {.mtp = true});
  EXPECT_EQ(plan.mtp_layers, 1U);
  EXPECT_THAT(plan.skipped, ::testing::IsEmpty());
  EXPECT_THAT(plan.unused, ::testing::IsEmpty());
  EXPECT_EQ(plan.matrix("mtp.0.e_proj").cols, 256U);
  EXPECT_EQ(plan.matrix("mtp.0.self_attn.q_a_proj").rows, 96U);
  EXPECT_EQ(plan.experts_of(3)->experts.size(), 4U);
  // Without the option the block is left out, with a reason.
  EXPECT_EQ(plan_of(config, tensors).mtp_layers, 0U);
  EXPECT_FALSE(plan_of(config, tensors).skipped.empty());
  tensors.erase("mtp.0.attn.wkv.weight");
  expect_error([&] { plan_of(config, tensors, {.mtp = true}); }, kCorrupt, {"mtp.0."});
}

}  // namespace
}  // namespace mach
