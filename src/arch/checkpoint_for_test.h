// Small models of every family, as configs and as the headers of complete checkpoints, to take apart in tests of plans.
#pragma once

#include <string>
#include <vector>

#include "arch/catalog_for_test.h"
#include "arch/model_config.h"
#include "arch/parameters.h"
#include "arch/registry.h"
#include "arch/tensor_plan.h"

namespace mach::testing {

using nlohmann::json;

inline json qwen_json() {
  return {{"model_type", "qwen3_moe"},
          {"vocab_size", 96},
          {"hidden_size", 256},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"head_dim", 64},
          {"num_experts", 4},
          {"num_experts_per_tok", 2},
          {"moe_intermediate_size", 128},
          {"norm_topk_prob", true},
          {"max_position_embeddings", 512}};
}

inline json hybrid_json() {
  json config = qwen_json();
  config.update({{"model_type", "qwen3_5_moe_text"},
                 {"layer_types", {"linear_attention", "full_attention"}},
                 {"linear_num_key_heads", 2},
                 {"linear_num_value_heads", 4},
                 {"linear_key_head_dim", 16},
                 {"linear_value_head_dim", 16},
                 {"linear_conv_kernel_dim", 4},
                 {"shared_expert_intermediate_size", 64}});
  return config;
}

inline json gpt_oss_json() {
  json config = qwen_json();
  config.update({{"model_type", "gpt_oss"}, {"intermediate_size", 96}, {"sliding_window", 16}});
  return config;
}

inline json gemma_json() {
  json config = qwen_json();
  config.update(
      {{"model_type", "gemma4_text"},
       {"num_hidden_layers", 4},
       {"global_head_dim", 128},
       {"sliding_window", 16},
       {"enable_moe_block", true},
       {"top_k_experts", 2},
       {"intermediate_size", 96},
       {"hidden_size_per_layer_input", 0},
       {"layer_types", {"sliding_attention", "full_attention", "sliding_attention", "full_attention"}}});
  return config;
}

inline json deepseek_json() {
  return {{"model_type", "deepseek_v4"},
          {"vocab_size", 96},
          {"hidden_size", 256},
          {"num_hidden_layers", 3},
          {"num_attention_heads", 4},
          {"head_dim", 64},
          {"qk_rope_head_dim", 16},
          {"q_lora_rank", 96},
          {"o_groups", 2},
          {"o_lora_rank", 32},
          {"compress_ratios", {0, 4, 128}},
          {"sliding_window", 16},
          {"index_n_heads", 2},
          {"index_head_dim", 32},
          {"index_topk", 8},
          {"n_routed_experts", 4},
          {"num_experts_per_tok", 2},
          {"moe_intermediate_size", 128},
          {"num_hash_layers", 1},
          {"hc_mult", 2},
          {"max_position_embeddings", 512}};
}

inline ModelConfig parse(const json& config) { return parse_model_config(config, "config.json"); }

// Parameters that are tensors of their own; all others are modules with a ".weight".
inline bool is_bare(const std::string& name) {
  for (const char* end :
       {".bias", ".sinks", ".A_log", ".dt_bias", "layer_scalar", ".scale", "per_expert_scale", ".base", ".fn",
        "hc_fn", "hc_base", "hc_scale", "position_bias", "tid2eid", "e_score_correction_bias"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

// Everything but routed experts, in bf16 under canonical names.
inline FakeTensors dense_tensors(const ModelConfig& config, const std::string& prefix = "model.") {
  FakeTensors tensors;
  for (const Parameter& parameter : arch_row(config.family).parameters(config).parameters) {
    FakeTensor tensor{"BF16", {parameter.rows, parameter.cols}};
    if (parameter.kind == ParameterKind::kIntegers) tensor.dtype = "I64";
    if (parameter.kind == ParameterKind::kVector && parameter.rows == 1) tensor.shape = {parameter.cols};
    if (parameter.name.ends_with("conv1d")) tensor.shape = {parameter.rows, 1, parameter.cols};
    const std::string base = parameter.name == "lm_head" ? "" : prefix;
    tensors[base + parameter.name + (is_bare(parameter.name) ? "" : ".weight")] = tensor;
  }
  return tensors;
}

inline void add_sliced(FakeTensors& tensors, const ModelConfig& config, const std::string& module,
                       uint32_t layer,
                       const std::vector<std::string>& names = {"gate_proj", "up_proj", "down_proj"}) {
  const uint64_t width = config.moe.intermediate;
  for (uint32_t e = 0; e < config.moe.experts; ++e) {
    const std::string expert =
        "model.layers." + std::to_string(layer) + module + ".experts." + std::to_string(e) + ".";
    tensors[expert + names[0] + ".weight"] = {"BF16", {width, config.hidden_size}};
    tensors[expert + names[1] + ".weight"] = {"BF16", {width, config.hidden_size}};
    tensors[expert + names[2] + ".weight"] = {"BF16", {config.hidden_size, width}};
  }
}

inline void add_fused(FakeTensors& tensors, const ModelConfig& config, const std::string& module) {
  const uint64_t width = config.moe.intermediate;
  for (uint32_t layer = 0; layer < config.layer_count(); ++layer) {
    const std::string base = "model.layers." + std::to_string(layer) + module + ".experts.";
    tensors[base + "gate_up_proj"] = {"BF16", {config.moe.experts, 2 * width, config.hidden_size}};
    tensors[base + "down_proj"] = {"BF16", {config.moe.experts, config.hidden_size, width}};
  }
}

inline FakeTensors qwen_tensors() {
  const ModelConfig config = parse(qwen_json());
  FakeTensors tensors = dense_tensors(config);
  add_sliced(tensors, config, ".mlp", 0);
  add_sliced(tensors, config, ".mlp", 1);
  return tensors;
}

inline TensorPlan plan_of(const json& config, const FakeTensors& tensors, const PlanOptions& options = {}) {
  return build_tensor_plan(parse(config), make_catalog(tensors), options);
}

inline void expect_refused(const json& config, const FakeTensors& tensors, ErrorCode code,
                           const std::vector<std::string>& words) {
  expect_error([&] { plan_of(config, tensors); }, code, words);
}

}  // namespace mach::testing
