// One row per way in which a config.json can be wrong: what is changed in a published one, and what the refusal must say.
#include <gtest/gtest.h>

#include "arch/catalog_for_test.h"
#include "arch/model_config.h"

namespace mach {
namespace {

using nlohmann::json;
using testing::expect_error;
using testing::published_config;

constexpr ErrorCode kCorrupt = ErrorCode::kCorruptFile;
constexpr ErrorCode kUnsupported = ErrorCode::kUnsupported;

struct Row {
  json patch;  // RFC 7396 merge patch of the text model's object: null removes a key
  ErrorCode code;
  std::vector<std::string> words;
};

void expect_refusals(const std::string& name, const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    json config = published_config(name);
    (config.contains("text_config") ? config["text_config"] : config).merge_patch(row.patch);
    SCOPED_TRACE(name + " " + row.patch.dump().substr(0, 200));
    expect_error([&] { parse_model_config(config, "some/config.json"); }, row.code, row.words);
    expect_error([&] { parse_model_config(config, "some/config.json"); }, row.code, {"some/config.json: "});
  }
}

// Rows that hold for every family; `heads` etc. are the same keys everywhere.
std::vector<Row> common_rows() {
  return {
      {{{"vocab_size", nullptr}}, kCorrupt, {"vocab_size is missing", "from 1 to"}},
      {{{"vocab_size", 0}}, kCorrupt, {"vocab_size is 0"}},
      {{{"vocab_size", 1e15}}, kCorrupt, {"vocab_size"}},
      {{{"hidden_size", -4}}, kCorrupt, {"hidden_size is -4"}},
      {{{"hidden_size", 2048.5}}, kCorrupt, {"hidden_size is 2048.5"}},
      {{{"hidden_size", "2048"}}, kCorrupt, {"hidden_size is \"2048\""}},
      {{{"hidden_size", {1, 2}}}, kCorrupt, {"hidden_size is a list of 2"}},
      {{{"hidden_size", 18446744073709551615ULL}}, kCorrupt, {"hidden_size"}},
      {{{"num_hidden_layers", 0}}, kCorrupt, {"num_hidden_layers"}},
      {{{"num_hidden_layers", 1000000000}}, kCorrupt, {"num_hidden_layers", "1024"}},
      {{{"num_attention_heads", nullptr}}, kCorrupt, {"num_attention_heads is missing"}},
      {{{"head_dim", 0}}, kCorrupt, {"head_dim is 0"}},
      {{{"rms_norm_eps", 0}}, kCorrupt, {"rms_norm_eps"}},
      {{{"rms_norm_eps", "small"}}, kCorrupt, {"rms_norm_eps is \"small\""}},
      {{{"tie_word_embeddings", "yes"}}, kCorrupt, {"tie_word_embeddings is \"yes\"", "true or false"}},
      {{{"max_position_embeddings", nullptr}}, kCorrupt, {"max_position_embeddings is missing"}},
      {{{"eos_token_id", "</s>"}}, kCorrupt, {"eos_token_id"}},
      {{{"eos_token_id", {1, -2}}}, kCorrupt, {"eos_token_id"}},
      {{{"moe_intermediate_size", 1U << 30}, {"intermediate_size", 1U << 30}},
       kCorrupt,
       {"intermediate_size"}},
      {{{"model_type", 7}}, kCorrupt, {"model_type is 7"}},
      {{{"model_type", "llama"}},
       kUnsupported,
       {"\"llama\"", "deepseek_v4", "gemma4", "gpt_oss", "qwen3_5_moe"}},
      {{{"quantization", "4bit"}}, kCorrupt, {"quantization is \"4bit\"", "an object"}},
      {{{"quantization", {{"bits", 7}}}}, kUnsupported, {"quantization.bits is 7", "2, 3, 4, 5, 6 or 8"}},
      {{{"quantization", {{"bits", 4}, {"group_size", 48}}}}, kUnsupported, {"group_size is 48"}},
      {{{"quantization", {{"mode", "ternary"}}}},
       kUnsupported,
       {"quantization.mode is \"ternary\"", "mxfp4"}},
      {{{"quantization", {{"mode", "mxfp4"}, {"bits", 8}}}}, kUnsupported, {"quantization.bits is 8"}},
      {{{"quantization", {{"bits", 4}, {"model.layers.0.mlp.gate", {{"bits", 9}}}}}},
       kUnsupported,
       {"mlp.gate.bits"}},
      {{{"quantization", {{"bits", 4}, {"a.b", 3}}}}, kCorrupt, {"a.b is 3", "an object"}},
      {{{"quantization", {{"expert_format", "zip"}}}}, kUnsupported, {"expert_format is \"zip\""}},
  };
}

TEST(HostileConfig, RowsForAllFamilies) {
  for (const char* name :
       {"qwen3-30b-a3b", "qwen3.6-35b-a3b", "gpt-oss-20b", "gemma-4-26b-a4b", "deepseek-v4-flash"}) {
    expect_refusals(name, common_rows());
  }
}

TEST(HostileConfig, Qwen3Moe) {
  expect_refusals(
      "qwen3-30b-a3b",
      {
          {{{"num_key_value_heads", 5}}, kCorrupt, {"num_key_value_heads is 5", "divisor", "32"}},
          {{{"num_key_value_heads", nullptr}}, kCorrupt, {"num_key_value_heads is missing"}},
          {{{"num_experts", 0}}, kCorrupt, {"num_experts is 0"}},
          {{{"num_experts", nullptr}}, kCorrupt, {"num_experts is missing"}},
          {{{"num_local_experts", 64}}, kCorrupt, {"num_local_experts is 64", "128 like num_experts"}},
          {{{"num_experts", 4096}, {"num_hidden_layers", 1024}},
           kCorrupt,
           {"num_hidden_layers is 1024", "262144"}},
          {{{"num_experts_per_tok", 129}}, kCorrupt, {"num_experts_per_tok is 129", "at most", "128"}},
          {{{"mlp_only_layers", {3, 48}}}, kCorrupt, {"mlp_only_layers", "0 to 47"}},
          {{{"mlp_only_layers", {0}}, {"intermediate_size", nullptr}},
           kCorrupt,
           {"intermediate_size is missing"}},
          {{{"decoder_sparse_step", 0}}, kCorrupt, {"decoder_sparse_step is 0"}},
          {{{"use_sliding_window", true}}, kCorrupt, {"sliding_window is missing"}},
          {{{"hidden_act", "relu"}}, kUnsupported, {"hidden_act is \"relu\"", "silu"}},
          {{{"layer_types", {"full_attention"}}}, kCorrupt, {"layer_types is a list of 1", "48 entries"}},
          {{{"layer_types", std::vector<std::string>(48, "linear_attention")}},
           kUnsupported,
           {"layer_types[0] is \"linear_attention\"", "full_attention"}},
          {{{"head_dim", nullptr}, {"num_attention_heads", 12}}, kCorrupt, {"head_dim is missing"}},
          {{{"head_dim", 127}}, kCorrupt, {"even"}},
          {{{"rope_theta", 0}}, kCorrupt, {"rope_theta is 0"}},
          {{{"rope_theta", "1e6"}}, kCorrupt, {"rope_theta is \"1e6\""}},
          {{{"rope_scaling", "yarn"}}, kCorrupt, {"rope_scaling is \"yarn\"", "an object"}},
          {{{"rope_scaling", {{"rope_type", "dynamic"}}}},
           kUnsupported,
           {"rope_scaling.rope_type is \"dynamic\""}},
          {{{"rope_scaling", {{"rope_type", "linear"}}}}, kCorrupt, {"rope_scaling.factor is missing"}},
          {{{"rope_scaling", {{"rope_type", "yarn"}, {"factor", -1}}}},
           kCorrupt,
           {"rope_scaling.factor is -1"}},
          {{{"rope_scaling", {{"rope_type", "yarn"}, {"beta_fast", 1}, {"beta_slow", 32}}}},
           kCorrupt,
           {"beta_fast is 1", "greater than beta_slow"}},
          {{{"rope_scaling", {{"rope_type", "yarn"}, {"original_max_position_embeddings", 0}}}},
           kCorrupt,
           {"original_max_position_embeddings is 0"}},
          {{{"rope_scaling", {{"rope_type", "yarn"}, {"attention_factor", 0}}}},
           kCorrupt,
           {"attention_factor is 0"}},
          {{{"rope_scaling", {{"rope_type", "yarn"}, {"partial_rotary_factor", 0.001}}}},
           kCorrupt,
           {"partial_rotary_factor"}},
          {{{"rope_scaling",
             {{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 4}}}},
           kCorrupt,
           {"high_freq_factor is 4", "greater"}},
          {{{"quantization_config", {{"quant_method", "awq"}, {"bits", 4}}}},
           kUnsupported,
           {"quant_method is \"awq\""}},
          {{{"quantization_config", {{"load_in_4bit", true}}}}, kUnsupported, {"quant_method is missing"}},
          {{{"quantization_config", {{"quant_method", "fp8"}, {"fmt", "e5m2"}}}},
           kUnsupported,
           {"fmt is \"e5m2\""}},
          {{{"quantization_config", {{"quant_method", "fp8"}, {"weight_block_size", {128}}}}},
           kCorrupt,
           {"weight_block_size"}},
          {{{"quantization_config", {{"quant_method", "fp8"}, {"weight_block_size", {0, 128}}}}},
           kCorrupt,
           {"weight_block_size"}},
          {{{"quantization_config", {{"quant_method", "compressed-tensors"}, {"format", "pack-quantized"}}}},
           kUnsupported,
           {"format is \"pack-quantized\""}},
      });
}

TEST(HostileConfig, Qwen35Moe) {
  expect_refusals(
      "qwen3.6-35b-a3b",
      {
          {{{"linear_num_value_heads", 24}}, kCorrupt, {"text_config.linear_num_value_heads is 24", "16"}},
          {{{"linear_num_key_heads", nullptr}}, kCorrupt, {"linear_num_key_heads is missing"}},
          {{{"linear_conv_kernel_dim", 1}}, kCorrupt, {"linear_conv_kernel_dim is 1", "from 2"}},
          {{{"linear_key_head_dim", 0}}, kCorrupt, {"linear_key_head_dim is 0"}},
          {{{"layer_types", {"linear_attention"}}}, kCorrupt, {"text_config.layer_types", "40"}},
          {{{"layer_types", std::vector<std::string>(40, "mamba")}}, kUnsupported, {"\"mamba\""}},
          {{{"layer_types", std::vector<int>(40, 1)}}, kCorrupt, {"layer_types", "strings"}},
          {{{"full_attention_interval", 0}}, kCorrupt, {"full_attention_interval is 0"}},
          {{{"shared_expert_intermediate_size", nullptr}}, kCorrupt, {"shared_expert_intermediate_size"}},
          {{{"num_key_value_heads", 3}}, kCorrupt, {"num_key_value_heads is 3"}},
          {{{"rope_parameters", {{"rope_type", "mrope"}}}}, kUnsupported, {"rope_type is \"mrope\""}},
          {{{"model_type", "gemma4_text"}}, kUnsupported, {"text_config.model_type", "qwen3_5_moe"}},
      });
}

TEST(HostileConfig, GptOss) {
  expect_refusals("gpt-oss-20b",
                  {
                      {{{"sliding_window", nullptr}}, kCorrupt, {"sliding_window is missing"}},
                      {{{"sliding_window", 0}}, kCorrupt, {"sliding_window is 0"}},
                      {{{"layer_types", {"sliding_attention"}}}, kCorrupt, {"layer_types is a list of 1"}},
                      {{{"layer_types", std::vector<std::string>(24, "chunked_attention")}},
                       kUnsupported,
                       {"layer_types[0]", "chunked_attention", "sliding_attention"}},
                      {{{"num_key_value_heads", 7}}, kCorrupt, {"num_key_value_heads is 7"}},
                      {{{"swiglu_limit", -7}}, kCorrupt, {"swiglu_limit is -7"}},
                      {{{"num_experts_per_tok", 33}}, kCorrupt, {"num_experts_per_tok is 33"}},
                      {{{"num_experts", 31}}, kCorrupt, {"num_local_experts is 32", "31 like num_experts"}},
                  });
}

TEST(HostileConfig, Gemma4) {
  expect_refusals(
      "gemma-4-26b-a4b",
      {
          {{{"per_layer_config", {{"30", {{"head_dim", 512}}}}}},
           kCorrupt,
           {"per_layer_config", "30", "0 to 29"}},
          {{{"per_layer_config", {{"-1", {{"head_dim", 512}}}}}}, kCorrupt, {"per_layer_config"}},
          {{{"per_layer_config", {{"five", {{"head_dim", 512}}}}}}, kCorrupt, {"per_layer_config", "five"}},
          {{{"per_layer_config", {{"99999999999999999999", {{"head_dim", 512}}}}}},
           kCorrupt,
           {"per_layer_config"}},
          {{{"per_layer_config", {{"5", {{"head_dim", 512}}}, {"05", {{"head_dim", 256}}}}}},
           kCorrupt,
           {"only entry of layer 5"}},
          {{{"per_layer_config", {{"5", {{"num_key_value_heads", 3}}}}}},
           kCorrupt,
           {"per_layer_config.5.num_key_value_heads is 3"}},
          {{{"per_layer_config", {{"5", {{"sliding_window", 3}}}}}},
           kUnsupported,
           {"per_layer_config.5.sliding_window"}},
          {{{"per_layer_config", {{"5", 512}}}}, kCorrupt, {"per_layer_config.5 is 512"}},
          {{{"num_global_key_value_heads", 3}}, kCorrupt, {"num_global_key_value_heads is 3"}},
          {{{"global_head_dim", 511}}, kCorrupt, {"even"}},
          {{{"layer_types", {"full_attention"}}}, kCorrupt, {"layer_types is a list of 1", "30"}},
          {{{"sliding_window", nullptr}}, kCorrupt, {"sliding_window is missing"}},
          {{{"num_kv_shared_layers", 30}}, kCorrupt, {"num_kv_shared_layers is 30"}},
          {{{"num_kv_shared_layers", 28}}, kCorrupt, {"num_kv_shared_layers is 28", "no earlier layer"}},
          {{{"hidden_activation", "gelu"}}, kUnsupported, {"hidden_activation is \"gelu\""}},
          {{{"attention_bias", true}}, kUnsupported, {"attention_bias is true"}},
          {{{"use_bidirectional_attention", "all"}},
           kUnsupported,
           {"use_bidirectional_attention is \"all\""}},
          {{{"hidden_size_per_layer_input", 256}, {"vocab_size_per_layer_input", nullptr}},
           kCorrupt,
           {"vocab_size_per_layer_input is missing"}},
          {{{"hidden_size_per_layer_input", nullptr}}, kCorrupt, {"hidden_size_per_layer_input is missing"}},
          {{{"rope_parameters", {{"full_attention", nullptr}}}},
           kCorrupt,
           {"rope_parameters.full_attention is missing"}},
          {{{"final_logit_softcapping", 0}}, kCorrupt, {"final_logit_softcapping is 0"}},
          {{{"num_experts", nullptr}}, kCorrupt, {"num_experts is missing"}},
          {{{"top_k_experts", 0}}, kCorrupt, {"top_k_experts is 0"}},
      });
}

TEST(HostileConfig, DeepSeekV4) {
  expect_refusals(
      "deepseek-v4-flash",
      {
          {{{"compress_ratios", nullptr}}, kCorrupt, {"layer_types is missing", "compress_ratios"}},
          {{{"compress_ratios", {0, 0, 4}}}, kCorrupt, {"compress_ratios is a list of 3", "43"}},
          {{{"compress_ratios", std::vector<int>(43, 8)}},
           kUnsupported,
           {"compress_ratios", "8", "compress_rates"}},
          {{{"layer_types", std::vector<std::string>(43, "full_attention")}},
           kUnsupported,
           {"layer_types[0]"}},
          {{{"layer_types", std::vector<std::string>(42, "sliding_attention")}}, kCorrupt, {"layer_types"}},
          {{{"mlp_layer_types", std::vector<std::string>(43, "dense")}},
           kUnsupported,
           {"mlp_layer_types[0]", "hash_moe"}},
          {{{"compress_rates", {{"compressed_sparse_attention", 0}}}},
           kCorrupt,
           {"compress_rates.compressed_sparse_attention is 0"}},
          {{{"o_groups", 7}}, kCorrupt, {"o_groups is 7", "64"}},
          {{{"q_lora_rank", nullptr}}, kCorrupt, {"q_lora_rank is missing"}},
          {{{"hc_mult", 0}}, kCorrupt, {"hc_mult is 0"}},
          {{{"hc_mult", 100000}}, kCorrupt, {"hc_mult is 100000"}},
          {{{"num_key_value_heads", 2}}, kCorrupt, {"num_key_value_heads is 2"}},
          {{{"partial_rotary_factor", 0.25}}, kCorrupt, {"qk_rope_head_dim is 64", "128"}},
          {{{"qk_rope_head_dim", nullptr}}, kCorrupt, {"qk_rope_head_dim is missing"}},
          {{{"qk_rope_head_dim", 63}}, kCorrupt, {"qk_rope_head_dim is 63", "even"}},
          {{{"qk_rope_head_dim", 1024}}, kCorrupt, {"qk_rope_head_dim is 1024", "512"}},
          {{{"index_head_dim", 32}}, kCorrupt, {"index_head_dim is 32", "from 64"}},
          {{{"index_topk", nullptr}}, kCorrupt, {"index_topk is missing"}},
          {{{"rope_scaling", {{"attention_factor", 1.1}}}},
           kUnsupported,
           {"rope_scaling.attention_factor is 1.1"}},
          {{{"rope_scaling", {{"type", "proportional"}}}}, kUnsupported, {"rope_type"}},
          {{{"rope_parameters", {{"main", {{"rope_type", "default"}}}}}},
           kCorrupt,
           {"rope_parameters.compress is missing"}},
          {{{"scoring_func", "sigmoid"}}, kUnsupported, {"scoring_func is \"sigmoid\"", "sqrtsoftplus"}},
          {{{"topk_method", "greedy"}}, kUnsupported, {"topk_method is \"greedy\""}},
          {{{"n_shared_experts", 2}}, kUnsupported, {"n_shared_experts is 2"}},
          {{{"n_routed_experts", 5}}, kCorrupt, {"num_experts_per_tok is 6", "5"}},
          {{{"expert_dtype", "int3"}}, kUnsupported, {"expert_dtype is \"int3\""}},
          {{{"model_type", "deepseek_v41"}}, kUnsupported, {"\"deepseek_v41\"", "nearest: deepseek_v4"}},
      });
}

TEST(HostileConfig, TheFileItself) {
  const auto refuse = [](const json& config, ErrorCode code, const std::vector<std::string>& words) {
    expect_error([&] { parse_model_config(config); }, code, words);
  };
  refuse(json::array(), kCorrupt, {"config.json", "a list of 0", "an object"});
  refuse(json::object(), kCorrupt, {"model_type is missing"});
  refuse({{"model_type", "gemma4"}, {"text_config", 3}}, kCorrupt, {"text_config is 3", "an object"});
  refuse({{"model_type", "qwen3_moee"}}, kUnsupported, {"nearest: qwen3_moe"});
  refuse({{"model_type", std::string(100000, 'x')}}, kUnsupported, {"one of qwen3_moe"});
  refuse({{"model_type", "a\xff\n"}}, kUnsupported, {"one of"});
}

TEST(HostileConfig, RefusalsAreOneShortLine) {
  json config = published_config("qwen3-30b-a3b");
  config["hidden_act"] = std::string(100000, 'y') + "\n";
  try {
    parse_model_config(config);
    FAIL() << "accepted";
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_LT(text.size(), 300U);
    EXPECT_EQ(text.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace mach
