#include "synth/model_shapes.h"

namespace mach::synth {
namespace {

// config.json of the released models, less what has no influence on the computation.
constexpr std::string_view kQwen330bA3b =
    R"({"architectures":["Qwen3MoeForCausalLM"],"model_type":"qwen3_moe","vocab_size":151936,
"hidden_size":2048,"num_hidden_layers":48,"num_attention_heads":32,"num_key_value_heads":4,
"head_dim":128,"rms_norm_eps":1e-06,"rope_theta":1000000.0,"rope_scaling":null,
"max_position_embeddings":40960,"num_experts":128,"num_experts_per_tok":8,
"moe_intermediate_size":768,"norm_topk_prob":true,"intermediate_size":6144,"decoder_sparse_step":1,
"mlp_only_layers":[],"attention_bias":false,"tie_word_embeddings":false,"use_sliding_window":false,
"sliding_window":null,"max_window_layers":48,"hidden_act":"silu","bos_token_id":151643,
"eos_token_id":151645})";

constexpr std::string_view kQwen3635bA3b =
    R"({"architectures":["Qwen3_5MoeForConditionalGeneration"],"model_type":"qwen3_5_moe",
"tie_word_embeddings":false,"text_config":{"model_type":"qwen3_5_moe_text","vocab_size":248320,
"hidden_size":2048,"num_hidden_layers":40,"num_attention_heads":16,"num_key_value_heads":2,
"head_dim":256,"layer_types":["linear_attention","linear_attention","linear_attention",
"full_attention","linear_attention","linear_attention","linear_attention","full_attention",
"linear_attention","linear_attention","linear_attention","full_attention","linear_attention",
"linear_attention","linear_attention","full_attention","linear_attention","linear_attention",
"linear_attention","full_attention","linear_attention","linear_attention","linear_attention",
"full_attention","linear_attention","linear_attention","linear_attention","full_attention",
"linear_attention","linear_attention","linear_attention","full_attention","linear_attention",
"linear_attention","linear_attention","full_attention","linear_attention","linear_attention",
"linear_attention","full_attention"],"full_attention_interval":4,"linear_num_key_heads":16,
"linear_num_value_heads":32,"linear_key_head_dim":128,"linear_value_head_dim":128,
"linear_conv_kernel_dim":4,"num_experts":256,"num_experts_per_tok":8,"moe_intermediate_size":512,
"shared_expert_intermediate_size":512,"rms_norm_eps":1e-06,"rope_parameters":{"rope_type":"default",
"rope_theta":10000000,"partial_rotary_factor":0.25,"mrope_section":[11,11,10],
"mrope_interleaved":true},"partial_rotary_factor":0.25,"max_position_embeddings":262144,
"attention_bias":false,"tie_word_embeddings":false,"hidden_act":"silu","attn_output_gate":true,
"mamba_ssm_dtype":"float32","mtp_num_hidden_layers":1,"mtp_use_dedicated_embeddings":false,
"bos_token_id":248044,"eos_token_id":248044}})";

constexpr std::string_view kGptOss20b =
    R"({"architectures":["GptOssForCausalLM"],"model_type":"gpt_oss","vocab_size":201088,
"hidden_size":2880,"num_hidden_layers":24,"num_attention_heads":64,"num_key_value_heads":8,
"head_dim":64,"intermediate_size":2880,"num_local_experts":32,"num_experts_per_tok":4,
"experts_per_token":4,"layer_types":["sliding_attention","full_attention","sliding_attention",
"full_attention","sliding_attention","full_attention","sliding_attention","full_attention",
"sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention",
"full_attention","sliding_attention","full_attention","sliding_attention","full_attention",
"sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention",
"full_attention"],"sliding_window":128,"rms_norm_eps":1e-05,"attention_bias":true,
"max_position_embeddings":131072,"initial_context_length":4096,"rope_theta":150000,
"rope_scaling":{"rope_type":"yarn","factor":32.0,"beta_fast":32.0,"beta_slow":1.0,"truncate":false,
"original_max_position_embeddings":4096},"swiglu_limit":7.0,"hidden_act":"silu",
"tie_word_embeddings":false,"eos_token_id":200002,"pad_token_id":199999,
"quantization_config":{"quant_method":"mxfp4","modules_to_not_convert":["model.layers.*.self_attn",
"model.layers.*.mlp.router","model.embed_tokens","lm_head"]}})";

constexpr std::string_view kGemma426bA4b =
    R"({"architectures":["Gemma4ForConditionalGeneration"],"model_type":"gemma4",
"text_config":{"model_type":"gemma4_text","vocab_size":262144,"hidden_size":2816,
"intermediate_size":2112,"num_hidden_layers":30,"num_attention_heads":16,"num_key_value_heads":8,
"num_global_key_value_heads":2,"head_dim":256,"global_head_dim":512,"attention_k_eq_v":true,
"num_kv_shared_layers":0,"use_double_wide_mlp":false,"enable_moe_block":true,"num_experts":128,
"top_k_experts":8,"moe_intermediate_size":704,"hidden_size_per_layer_input":0,
"vocab_size_per_layer_input":262144,"hidden_activation":"gelu_pytorch_tanh","rms_norm_eps":1e-06,
"sliding_window":1024,"layer_types":["sliding_attention","sliding_attention","sliding_attention",
"sliding_attention","sliding_attention","full_attention","sliding_attention","sliding_attention",
"sliding_attention","sliding_attention","sliding_attention","full_attention","sliding_attention",
"sliding_attention","sliding_attention","sliding_attention","sliding_attention","full_attention",
"sliding_attention","sliding_attention","sliding_attention","sliding_attention","sliding_attention",
"full_attention","sliding_attention","sliding_attention","sliding_attention","sliding_attention",
"sliding_attention","full_attention"],"rope_parameters":{"sliding_attention":{"rope_type":"default",
"rope_theta":10000.0},"full_attention":{"rope_type":"proportional","rope_theta":1000000.0,
"partial_rotary_factor":0.25}},"final_logit_softcapping":30.0,"tie_word_embeddings":true,
"attention_bias":false,"use_bidirectional_attention":"vision","max_position_embeddings":262144,
"pad_token_id":0,"eos_token_id":[1,106],"bos_token_id":2},"tie_word_embeddings":true})";

constexpr std::string_view kDeepseekV4Flash =
    R"({"architectures":["DeepseekV4ForCausalLM"],"model_type":"deepseek_v4","vocab_size":129280,
"hidden_size":4096,"num_hidden_layers":43,"num_attention_heads":64,"num_key_value_heads":1,
"head_dim":512,"qk_rope_head_dim":64,"q_lora_rank":1024,"o_groups":8,"o_lora_rank":1024,
"compress_ratios":[0,0,4,128,4,128,4,128,4,128,4,128,4,128,4,128,4,128,4,128,4,128,4,128,4,128,4,
128,4,128,4,128,4,128,4,128,4,128,4,128,4,128,4,0],"sliding_window":128,"rope_theta":10000,
"compress_rope_theta":160000,"rope_scaling":{"type":"yarn","factor":16,"beta_fast":32,"beta_slow":1,
"original_max_position_embeddings":65536},"index_n_heads":64,"index_head_dim":128,"index_topk":512,
"n_routed_experts":256,"n_shared_experts":1,"num_experts_per_tok":6,"moe_intermediate_size":2048,
"scoring_func":"sqrtsoftplus","topk_method":"noaux_tc","norm_topk_prob":true,
"routed_scaling_factor":1.5,"num_hash_layers":3,"swiglu_limit":10.0,"hc_mult":4,
"hc_sinkhorn_iters":20,"hc_eps":1e-06,"rms_norm_eps":1e-06,"num_nextn_predict_layers":1,
"max_position_embeddings":1048576,"tie_word_embeddings":false,"bos_token_id":0,"eos_token_id":1,
"hidden_act":"silu","attention_bias":false,"expert_dtype":"fp4",
"quantization_config":{"quant_method":"fp8","fmt":"e4m3","scale_fmt":"ue8m0",
"activation_scheme":"dynamic","weight_block_size":[128,128]}})";

}  // namespace

std::span<const ModelShape> model_shapes() noexcept {
  static constexpr ModelShape kShapes[] = {
      {"qwen3-30b-a3b", kQwen330bA3b, Quant::kAffine4},
      {"qwen3.6-35b-a3b", kQwen3635bA3b, Quant::kAffine4},
      {"gpt-oss-20b", kGptOss20b, Quant::kMxFp4},
      {"gemma-4-26b-a4b", kGemma426bA4b, Quant::kAffine4},
      {"deepseek-v4-flash", kDeepseekV4Flash, Quant::kMxFp4},
  };
  return kShapes;
}

}  // namespace mach::synth
