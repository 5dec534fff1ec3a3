#include "arch/model_config.h"

#include <cmath>

#include <gtest/gtest.h>

#include "arch/catalog_for_test.h"

namespace mach {
namespace {

using nlohmann::json;
using testing::published_config;

ModelConfig parse(const std::string& name, const json& patch = json::object()) {
  json config = published_config(name);
  config.merge_patch(patch);
  return parse_model_config(config, name);
}

TEST(ModelConfig, Qwen3Moe) {
  const ModelConfig config = parse("qwen3-30b-a3b");
  EXPECT_EQ(config.family, Family::kQwen3Moe);
  EXPECT_EQ(config.layer_count(), 48U);
  EXPECT_EQ(config.moe_layer_count(), 48U);
  EXPECT_FALSE(config.attention_bias);
  const LayerConfig& layer = config.layers[7];
  EXPECT_EQ(layer.mixer, MixerKind::kFullAttention);
  EXPECT_EQ(layer.heads, 32U);
  EXPECT_EQ(layer.kv_heads, 4U);
  EXPECT_EQ(layer.head_dim, 128U);  // not hidden_size / heads
  EXPECT_EQ(layer.window, 0U);
  EXPECT_EQ(config.moe.router, RouterKind::kSoftmaxTopK);
  EXPECT_TRUE(config.moe.renormalize);
  EXPECT_EQ(config.moe.shared_intermediate, 0U);
  EXPECT_EQ(config.activation.kind, ActivationKind::kPlainSwiglu);
  EXPECT_EQ(config.eos_token_ids, std::vector<uint32_t>{151645});
  EXPECT_EQ(config.quant.method, QuantMethod::kNone);
}

TEST(ModelConfig, Qwen3MoeSwitches) {
  // Expert count under its other name; dense layers by list and by step; a window only behind its switch.
  json patch = {{"num_experts", nullptr}, {"num_local_experts", 64}, {"mlp_only_layers", {0, 47}}};
  patch["sliding_window"] = 4096;
  ModelConfig config = parse("qwen3-30b-a3b", patch);
  EXPECT_EQ(config.moe.experts, 64U);
  EXPECT_EQ(config.layers[0].ffn, FfnKind::kDense);
  EXPECT_EQ(config.layers[0].dense_intermediate, 6144U);
  EXPECT_EQ(config.moe_layer_count(), 46U);
  EXPECT_EQ(config.layers[1].window, 0U);

  patch["use_sliding_window"] = true;
  patch["decoder_sparse_step"] = 2;
  config = parse("qwen3-30b-a3b", patch);
  EXPECT_EQ(config.layers[1].mixer, MixerKind::kSlidingAttention);
  EXPECT_EQ(config.layers[1].window, 4096U);
  EXPECT_TRUE(config.layers[1].has_moe());
  EXPECT_FALSE(config.layers[2].has_moe());
}

TEST(ModelConfig, Qwen3MoeDefaultsOfTheReference) {
  const ModelConfig config =
      parse("qwen3-30b-a3b", {{"head_dim", nullptr}, {"norm_topk_prob", nullptr}, {"rms_norm_eps", nullptr}});
  EXPECT_EQ(config.layers[0].head_dim, 64U);
  EXPECT_FALSE(config.moe.renormalize);
  EXPECT_FLOAT_EQ(config.rms_norm_eps, 1e-6F);
}

TEST(ModelConfig, Qwen35Moe) {
  const ModelConfig config = parse("qwen3.6-35b-a3b");
  EXPECT_EQ(config.family, Family::kQwen3_5Moe);
  EXPECT_EQ(config.layers[3].mixer, MixerKind::kFullAttention);
  EXPECT_EQ(config.layers[3].kv_heads, 2U);
  EXPECT_EQ(config.layers[4].mixer, MixerKind::kGatedDelta);
  EXPECT_EQ(config.layers[4].heads, 0U);
  EXPECT_EQ(config.gated_delta->conv_channels(), 8192U);
  EXPECT_EQ(config.gated_delta->value_width(), 4096U);
  EXPECT_EQ(config.moe.shared_intermediate, 512U);
  EXPECT_TRUE(config.moe.shared_gate);
  EXPECT_TRUE(config.moe.renormalize);
  EXPECT_EQ(config.mtp_layers, 1U);
  EXPECT_EQ(config.eos_token_ids, std::vector<uint32_t>{248044});
}

TEST(ModelConfig, Qwen35FlatFormAndIntervalMeanTheSame) {
  const json published = published_config("qwen3.6-35b-a3b");
  json flat = published["text_config"];
  flat.erase("layer_types");
  const ModelConfig config = parse_model_config(flat);
  EXPECT_EQ(config.model_type, "qwen3_5_moe_text");
  for (uint32_t i = 0; i < 40; ++i) {
    EXPECT_EQ(config.layers[i].mixer, i % 4 == 3 ? MixerKind::kFullAttention : MixerKind::kGatedDelta) << i;
  }
}

TEST(ModelConfig, GptOss) {
  const ModelConfig config = parse("gpt-oss-20b", {{"layer_types", nullptr}});
  EXPECT_EQ(config.family, Family::kGptOss);
  EXPECT_TRUE(config.attention_bias);
  EXPECT_FLOAT_EQ(config.rms_norm_eps, 1e-5F);
  EXPECT_EQ(config.layers[0].mixer, MixerKind::kSlidingAttention);
  EXPECT_EQ(config.layers[0].window, 128U);
  EXPECT_EQ(config.layers[1].mixer, MixerKind::kFullAttention);
  EXPECT_EQ(config.layers[1].window, 0U);
  EXPECT_EQ(config.moe.router, RouterKind::kTopKSoftmax);
  EXPECT_TRUE(config.moe.router_bias);
  EXPECT_TRUE(config.moe.expert_bias);
  EXPECT_EQ(config.activation.kind, ActivationKind::kClampedSwiglu);
  EXPECT_FLOAT_EQ(config.activation.alpha, 1.702F);
  EXPECT_FLOAT_EQ(config.activation.limit, 7.0F);
  EXPECT_EQ(config.quant.method, QuantMethod::kMxFp4);
  EXPECT_EQ(config.pad_token_id, 199999U);
}

TEST(ModelConfig, Gemma4) {
  const ModelConfig config = parse("gemma-4-26b-a4b");
  EXPECT_EQ(config.family, Family::kGemma4);
  EXPECT_TRUE(config.tie_word_embeddings);
  const LayerConfig& sliding = config.layers[0];
  EXPECT_EQ(sliding.mixer, MixerKind::kSlidingAttention);
  EXPECT_EQ(sliding.window, 1024U);
  EXPECT_EQ(sliding.kv_heads, 8U);
  EXPECT_EQ(sliding.head_dim, 256U);
  EXPECT_FALSE(sliding.k_eq_v);
  const LayerConfig& full = config.layers[29];
  EXPECT_EQ(full.mixer, MixerKind::kFullAttention);
  EXPECT_EQ(full.window, 0U);
  EXPECT_EQ(full.kv_heads, 2U);
  EXPECT_EQ(full.head_dim, 512U);
  EXPECT_TRUE(full.k_eq_v);
  EXPECT_EQ(full.ffn, FfnKind::kMoeBesideDense);
  EXPECT_EQ(full.dense_intermediate, 2112U);
  EXPECT_FLOAT_EQ(config.gemma->embedding_scale, 53.0659966F);
  EXPECT_EQ(config.gemma->logit_softcap, 30.0F);
  EXPECT_EQ(config.gemma->per_layer_input, 0U);
  EXPECT_EQ(config.eos_token_ids, (std::vector<uint32_t>{1, 106}));
  EXPECT_EQ(config.activation.kind, ActivationKind::kPlainGeglu);
}

TEST(ModelConfig, Gemma4SavedFormMeansTheSame) {
  json saved = published_config("gemma-4-26b-a4b");
  json& text = saved["text_config"];
  text.erase("num_global_key_value_heads");
  text.erase("global_head_dim");
  for (const char* layer : {"05", "11", "17", "23", "29"}) {
    text["per_layer_config"][layer] = {{"head_dim", 512}, {"num_key_value_heads", 2}};
  }
  const ModelConfig a = parse_model_config(saved);
  const ModelConfig b = parse("gemma-4-26b-a4b");
  ASSERT_EQ(a.layer_count(), b.layer_count());
  for (uint32_t i = 0; i < a.layer_count(); ++i) {
    EXPECT_EQ(a.layers[i].head_dim, b.layers[i].head_dim) << i;
    EXPECT_EQ(a.layers[i].kv_heads, b.layers[i].kv_heads) << i;
    EXPECT_EQ(a.rope_of(a.layers[i]), b.rope_of(b.layers[i])) << i;
  }
}

TEST(ModelConfig, Gemma4GlobalHeadsNeedKEqualsV) {
  const ModelConfig config = parse("gemma-4-26b-a4b", {{"text_config", {{"attention_k_eq_v", false}}}});
  EXPECT_EQ(config.layers[5].kv_heads, 8U);
  EXPECT_EQ(config.layers[5].head_dim, 512U);
}

TEST(ModelConfig, Gemma4LastLayerIsFullWhateverTheListSays) {
  json config = published_config("gemma-4-26b-a4b");
  config["text_config"]["layer_types"][29] = "sliding_attention";
  EXPECT_EQ(parse_model_config(config).layers[29].mixer, MixerKind::kFullAttention);
}

TEST(ModelConfig, Gemma4SmallModels) {
  // The shape of the published E2B: per-layer embeddings, shared KV, a wider MLP where KV is shared, no experts.
  const json patch = {{"text_config",
                       {{"num_hidden_layers", 35},
                        {"layer_types", nullptr},
                        {"num_attention_heads", 8},
                        {"num_key_value_heads", 1},
                        {"attention_k_eq_v", false},
                        {"num_global_key_value_heads", nullptr},
                        {"hidden_size", 1536},
                        {"intermediate_size", 6144},
                        {"num_kv_shared_layers", 20},
                        {"use_double_wide_mlp", true},
                        {"enable_moe_block", false},
                        {"num_experts", nullptr},
                        {"hidden_size_per_layer_input", 256}}}};
  const ModelConfig config = parse("gemma-4-26b-a4b", patch);
  EXPECT_EQ(config.moe.experts, 0U);
  EXPECT_EQ(config.moe_layer_count(), 0U);
  EXPECT_EQ(config.gemma->per_layer_input, 256U);
  EXPECT_FLOAT_EQ(config.gemma->per_layer_embedding_scale, 16.0F);
  EXPECT_EQ(config.layers[14].dense_intermediate, 6144U);
  EXPECT_FALSE(config.layers[14].kv_source.has_value());
  EXPECT_EQ(config.layers[15].dense_intermediate, 12288U);
  EXPECT_EQ(config.layers[15].kv_source, 14U);  // the last sliding layer below 15
  EXPECT_EQ(config.layers[17].kv_source, 11U);  // the last full one
}

TEST(ModelConfig, DeepSeekV4) {
  const ModelConfig config = parse("deepseek-v4-flash");
  EXPECT_EQ(config.family, Family::kDeepSeekV4);
  EXPECT_EQ(config.layers[1].mixer, MixerKind::kDeepSeekSliding);
  EXPECT_EQ(config.layers[2].mixer, MixerKind::kDeepSeekCsa);
  EXPECT_EQ(config.layers[2].compress_ratio, 4U);
  EXPECT_EQ(config.layers[3].mixer, MixerKind::kDeepSeekHca);
  EXPECT_EQ(config.layers[3].compress_ratio, 128U);
  EXPECT_EQ(config.layers[42].mixer, MixerKind::kDeepSeekCsa);
  EXPECT_TRUE(config.layers[2].hash_routed);
  EXPECT_FALSE(config.layers[3].hash_routed);
  EXPECT_EQ(config.layers[3].window, 128U);
  EXPECT_EQ(config.layers[3].kv_heads, 1U);
  EXPECT_EQ(config.deepseek->hc_rows(), 24U);
  EXPECT_EQ(config.deepseek->rope_dims, 64U);
  EXPECT_EQ(config.deepseek->index_topk, 512U);
  EXPECT_EQ(config.moe.router, RouterKind::kSqrtSoftplus);
  EXPECT_FLOAT_EQ(config.moe.routed_scale, 1.5F);
  EXPECT_EQ(config.moe.shared_intermediate, 2048U);
  EXPECT_EQ(config.activation.kind, ActivationKind::kSiluLimited);
  EXPECT_TRUE(config.quant.fp4_experts);
  EXPECT_TRUE(config.quant.e8m0_scales);
  EXPECT_EQ(config.quant.block_rows, 128U);
  EXPECT_EQ(config.mtp_layers, 1U);
}

TEST(ModelConfig, DeepSeekSavedFormMeansTheSame) {
  json saved = published_config("deepseek-v4-flash");
  for (const char* key : {"compress_ratios", "rope_scaling", "num_hash_layers", "compress_rope_theta"})
    saved.erase(key);
  for (int i = 0; i < 43; ++i) {
    saved["layer_types"].push_back(i < 2        ? "sliding_attention"
                                   : i % 2 == 0 ? "compressed_sparse_attention"
                                                : "heavily_compressed_attention");
    saved["mlp_layer_types"].push_back(i < 3 ? "hash_moe" : "moe");
  }
  saved["compress_rates"] = {{"compressed_sparse_attention", 4}, {"heavily_compressed_attention", 128}};
  saved["partial_rotary_factor"] = 0.125;
  saved["rope_parameters"] = {
      {"main", {{"rope_type", "default"}, {"rope_theta", 10000.0}, {"partial_rotary_factor", 0.125}}},
      {"compress",
       {{"rope_type", "yarn"},
        {"factor", 16.0},
        {"beta_fast", 32.0},
        {"beta_slow", 1.0},
        {"attention_factor", 1.0},
        {"original_max_position_embeddings", 65536},
        {"rope_theta", 160000.0},
        {"partial_rotary_factor", 0.125}}}};
  const ModelConfig a = parse_model_config(saved);
  const ModelConfig b = parse("deepseek-v4-flash");
  ASSERT_EQ(a.layer_count(), b.layer_count());
  for (uint32_t i = 0; i < a.layer_count(); ++i) {
    EXPECT_EQ(a.layers[i].mixer, b.layers[i].mixer) << i;
    EXPECT_EQ(a.layers[i].hash_routed, b.layers[i].hash_routed) << i;
    EXPECT_EQ(a.rope_of(a.layers[i]), b.rope_of(b.layers[i])) << i;
  }
}

TEST(ModelConfig, DeepSeekLegacyRates) {
  const ModelConfig config = parse("deepseek-v4-flash", {{"compress_rate_hca", 32}});
  EXPECT_EQ(config.layers[3].compress_ratio, 32U);
  EXPECT_EQ(config.layers[2].compress_ratio, 4U);
}

TEST(QuantConfig, MlxBlockWithOverrides) {
  const json block = {{"group_size", 32},
                      {"bits", 4},
                      {"mode", "mxfp4"},
                      {"model.layers.0.mlp.gate", {{"group_size", 64}, {"bits", 8}}},
                      {"language_model.lm_head", true},
                      {"model.layers.1.self_attn.o_proj", false}};
  const QuantConfig quant = parse("qwen3-30b-a3b", {{"quantization", block}}).quant;
  EXPECT_EQ(quant.method, QuantMethod::kMlx);
  EXPECT_EQ(quant.body, (MlxQuant{CodecId::kMxFp4, 4, 32}));
  // An entry without a mode is affine, whatever the body is.
  EXPECT_EQ(quant.module("model.layers.0.mlp.gate"), (MlxQuant{CodecId::kAffine, 8, 64}));
  EXPECT_EQ(quant.module("language_model.model.layers.0.mlp.gate"), (MlxQuant{CodecId::kAffine, 8, 64}));
  EXPECT_EQ(quant.module("lm_head"), quant.body);
  EXPECT_EQ(quant.module("model.layers.1.self_attn.o_proj"), std::nullopt);
  EXPECT_EQ(quant.module("model.layers.2.self_attn.o_proj"), quant.body);
  EXPECT_FALSE(quant.has_override("model.layers.2.self_attn.o_proj"));
}

TEST(QuantConfig, MlxCopyUnderTheOtherNameAndModeDefaults) {
  EXPECT_EQ(parse("qwen3-30b-a3b", {{"quantization_config", {{"bits", 8}}}}).quant.body,
            (MlxQuant{CodecId::kAffine, 8, 64}));
  EXPECT_EQ(parse("qwen3-30b-a3b", {{"quantization", {{"mode", "nvfp4"}}}}).quant.body,
            (MlxQuant{CodecId::kNvFp4, 4, 16}));
  EXPECT_EQ(parse("qwen3-30b-a3b", {{"quantization", {{"mode", "mxfp8"}}}}).quant.body,
            (MlxQuant{CodecId::kMxFp8, 8, 32}));
}

TEST(QuantConfig, Fp8) {
  const json block = {{"quant_method", "fp8"}, {"fmt", "e4m3"}, {"weight_block_size", {128, 64}}};
  QuantConfig quant = parse("qwen3-30b-a3b", {{"quantization_config", block}}).quant;
  EXPECT_EQ(quant.method, QuantMethod::kFp8);
  EXPECT_EQ(quant.block_rows, 128U);
  EXPECT_EQ(quant.block_cols, 64U);
  EXPECT_FALSE(quant.e8m0_scales);
  json per_tensor = published_config("qwen3-30b-a3b");
  per_tensor["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", nullptr}};
  EXPECT_EQ(parse_model_config(per_tensor).quant.block_rows, 0U);
}

}  // namespace
}  // namespace mach
