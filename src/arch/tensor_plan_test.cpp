// What is missing, wrong or left over in a checkpoint.
#include "arch/tensor_plan.h"

#include <gtest/gtest.h>

#include "arch/checkpoint_for_test.h"

namespace mach {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

constexpr ErrorCode kCorrupt = ErrorCode::kCorruptFile;

TEST(TensorPlan, CompleteCheckpoint) {
  const TensorPlan plan = plan_of(qwen_json(), qwen_tensors());
  EXPECT_EQ(plan.layout, ExpertLayout::kSliced);
  EXPECT_EQ(plan.prefix, "model.");
  EXPECT_EQ(plan.matrix("layers.1.self_attn.o_proj").cols, 256U);
  EXPECT_EQ(plan.vector("layers.0.self_attn.q_norm").count, 64U);
  EXPECT_EQ(plan.vector("norm").add, 0.0F);
  EXPECT_EQ(plan.experts_of(1)->experts.size(), 4U);
  EXPECT_EQ(plan.experts_of(2), nullptr);
  EXPECT_EQ(plan.find_matrix("layers.2.self_attn.o_proj"), nullptr);
  expect_error([&] { plan.matrix("layers.0.mlp.gait"); }, ErrorCode::kInternal, {"layers.0.mlp.gait"});
}

TEST(TensorPlan, EveryMissingTensorIsNamed) {
  const FakeTensors complete = qwen_tensors();
  for (const auto& [name, tensor] : complete) {
    FakeTensors tensors = complete;
    tensors.erase(name);
    // The first expert's gate decides whether there are experts at all, the embedding whether it is a model at all.
    const bool first_gate = name.ends_with(".experts.0.gate_proj.weight");
    const std::string module = name.substr(0, name.rfind(".weight"));
    expect_refused(qwen_json(), tensors, kCorrupt,
                   {first_gate                            ? "no routed experts under"
                    : name == "model.embed_tokens.weight" ? "embed_tokens"
                                                          : module});
  }
}

TEST(TensorPlan, EveryWrongShapeAndTypeIsNamed) {
  const FakeTensors complete = qwen_tensors();
  for (const auto& [name, tensor] : complete) {
    FakeTensors tensors = complete;
    tensors[name].shape.back() += 1;
    expect_refused(qwen_json(), tensors, kCorrupt, {name, "has shape", "must be"});
    tensors[name] = {"F64", tensor.shape};
    expect_error([&] { plan_of(qwen_json(), tensors); },
                 tensor.shape.size() == 1 ? kCorrupt : ErrorCode::kUnsupported,
                 {name, "is F64", "BF16, F16"});
  }
}

TEST(TensorPlan, EmptyCatalogIsNoCheckpoint) {
  for (const json& config : {qwen_json(), hybrid_json(), gpt_oss_json(), gemma_json(), deepseek_json()}) {
    expect_refused(config, {}, kCorrupt, {"embed_tokens.weight", "is missing"});
  }
}

TEST(TensorPlan, LeftoversAreListed) {
  FakeTensors tensors = qwen_tensors();
  for (const char* name :
       {"model.visual.blocks.0.attn.qkv.weight", "mtp.layers.0.mlp.gate.weight",
        "model.layers.0.self_attn.rotary_emb.inv_freq", "vision_tower.x", "model.audio_tower.y",
        "model.layers.0.self_attn.q_proj.input_scale", "model.layers.0.self_attn.q_proj.weight_scale"}) {
    tensors[name] = {"F32", {2}};
  }
  tensors["model.layers.7.mlp.gate.weight"] = {"F32", {2}};
  tensors["adapter.weight"] = {"F32", {2}};
  const TensorPlan plan = plan_of(qwen_json(), tensors);
  EXPECT_EQ(plan.skipped.size(), 7U);
  EXPECT_THAT(plan.unused, ::testing::ElementsAre("adapter.weight", "model.layers.7.mlp.gate.weight"));
}

TEST(TensorPlan, PrefixesOfMultimodalFiles) {
  for (const char* prefix :
       {"model.language_model.", "language_model.model.", "language_model.", "model.", ""}) {
    FakeTensors tensors;
    for (const auto& [name, tensor] : qwen_tensors()) {
      const bool inside = name.starts_with("model.");
      tensors[inside ? prefix + name.substr(6) : name] = tensor;
    }
    const TensorPlan plan = plan_of(qwen_json(), tensors);
    EXPECT_EQ(plan.prefix, prefix);
    EXPECT_THAT(plan.unused, ::testing::IsEmpty());
  }
}

TEST(TensorPlan, HeadInsideThePrefix) {
  FakeTensors tensors = qwen_tensors();
  tensors["language_model.lm_head.weight"] = tensors["lm_head.weight"];
  tensors.erase("lm_head.weight");
  const TensorPlan plan = plan_of(qwen_json(), tensors);
  EXPECT_FALSE(plan.tied_head);
  EXPECT_EQ(plan.tensors[plan.matrix("lm_head").codes.tensor].name, "language_model.lm_head.weight");
}

TEST(TensorPlan, TiedHeads) {
  json config = qwen_json();
  config["tie_word_embeddings"] = true;
  FakeTensors tensors = qwen_tensors();
  TensorPlan plan = plan_of(config, tensors);
  EXPECT_TRUE(plan.tied_head);
  EXPECT_EQ(plan.matrix("lm_head").codes.tensor, plan.matrix("embed_tokens").codes.tensor);
  ASSERT_EQ(plan.skipped.size(), 1U);
  EXPECT_EQ(plan.skipped[0].reason, "tied to embed_tokens");
  tensors.erase("lm_head.weight");
  EXPECT_TRUE(plan_of(config, tensors).tied_head);
  expect_refused(qwen_json(), tensors, kCorrupt, {"lm_head.weight is missing", "tie_word_embeddings"});
}

TEST(TensorPlan, QwenHybridWithoutHeadIsTied) {
  const ModelConfig config = parse(hybrid_json());
  FakeTensors tensors = dense_tensors(config);
  add_fused(tensors, config, ".mlp");
  EXPECT_FALSE(plan_of(hybrid_json(), tensors).tied_head);
  tensors.erase("lm_head.weight");
  EXPECT_TRUE(plan_of(hybrid_json(), tensors).tied_head);
}

}  // namespace
}  // namespace mach
