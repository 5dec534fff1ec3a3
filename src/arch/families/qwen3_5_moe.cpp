// qwen3_5_moe: Qwen3.5 and Qwen3.6 MoE models, text tower. Gated DeltaNet layers with a gated full-attention layer now
// and then; every layer MoE with a gated shared expert; norms store weight - 1. Source: specs/qwen3_5_moe.md sections 1,
// 4 and 5.
//
// Parameters (D hidden, Hq and Hk heads of d, Nk and Nv DeltaNet heads of dk and dv, C taps, E experts, Is shared width):
//   embed_tokens [V, D]   norm [D]   lm_head [V, D]
//   layers.N.input_layernorm [D]     layers.N.post_attention_layernorm [D]
//   full:   layers.N.self_attn.q_proj [2 Hq d, D], per head query rows then gate rows   .k_proj, .v_proj [Hk d, D]
//           .o_proj [D, Hq d]   .q_norm, .k_norm [d]
//   linear: layers.N.linear_attn.in_proj_qkv [2 Nk dk + Nv dv, D]   .in_proj_z [Nv dv, D]   .in_proj_a, .in_proj_b [Nv, D]
//           .conv1d [(2 Nk dk + Nv dv) C], channel-major   .A_log, .dt_bias [Nv]   .norm [dv]   .out_proj [D, Nv dv]
//   layers.N.mlp.gate [E, D]   .shared_expert.gate_proj, .up_proj [Is, D]   .shared_expert.down_proj [D, Is]
//   layers.N.mlp.shared_expert_gate [1, D]   and routed experts
// Multi-token prediction (PlanOptions::mtp): mtp.fc [D, 2 D], columns of the embedding first   mtp.pre_fc_norm_embedding,
//   mtp.pre_fc_norm_hidden, mtp.norm [D]   mtp.layers.K.*: a full-attention layer as above, experts as layer L + K
#include <algorithm>

#include <fmt/format.h>

#include "arch/families/common.h"
#include "arch/families/family.h"
#include "arch/rope_reader.h"

namespace mach {
namespace {

constexpr uint32_t kDefaultFullInterval = 4;
constexpr uint32_t kMaxDeltaHeads = 1024;
constexpr uint32_t kMaxDeltaDim = 1024;
constexpr uint32_t kMaxConvTaps = 64;

GatedDeltaConfig read_gated_delta(const ConfigReader& text) {
  GatedDeltaConfig delta;
  delta.key_heads = text.count("linear_num_key_heads", kMaxDeltaHeads);
  delta.value_heads = text.count("linear_num_value_heads", kMaxDeltaHeads);
  if (delta.value_heads % delta.key_heads != 0) {
    text.fail("linear_num_value_heads",
              fmt::format("a multiple of linear_num_key_heads ({})", delta.key_heads));
  }
  delta.key_dim = text.count("linear_key_head_dim", kMaxDeltaDim);
  delta.value_dim = text.count("linear_value_head_dim", kMaxDeltaDim);
  // With one tap the two layouts of the convolution would look alike.
  delta.conv_taps = text.count("linear_conv_kernel_dim", kMaxConvTaps, 2);
  return delta;
}

}  // namespace

void parse_qwen3_5_moe(const ConfigReader& text, const ConfigReader& root, ModelConfig& out) {
  const uint32_t layers = read_backbone(text, root, {}, out);
  require_word(text, "hidden_act", "silu");
  LayerConfig full;
  read_heads(text, out.hidden_size, full);
  const RopeRules rules{.head_dim = full.head_dim,
                        .max_position = out.max_position_embeddings,
                        .default_partial = 0.25,
                        .default_type_rotates_all = false};
  full.rope = add_rope(out, read_rope(text, rules));
  out.gated_delta = read_gated_delta(text);
  LayerConfig linear;
  linear.mixer = MixerKind::kGatedDelta;

  read_experts(text, "num_experts_per_tok", "moe_intermediate_size", out.moe);
  out.moe.shared_intermediate = text.count("shared_expert_intermediate_size", kMaxWidth);
  out.moe.shared_gate = true;
  out.mtp_layers = text.count_or("mtp_num_hidden_layers", 0, kMaxLayers, 0);

  const auto types =
      read_layer_types(text, "layer_types", layers, false, {"linear_attention", "full_attention"});
  const uint32_t interval = text.count_or("full_attention_interval", kDefaultFullInterval, kMaxLayers);
  for (uint32_t i = 0; i < layers; ++i) {
    const bool is_full = types.empty() ? (i + 1) % interval == 0 : types[i] == "full_attention";
    out.layers.push_back(is_full ? full : linear);
  }
}

namespace {

void write_attention(const ModelConfig& config, const LayerConfig& layer, ParameterWriter& write) {
  const uint32_t q_width = layer.heads * layer.head_dim;
  const uint32_t kv_width = layer.kv_heads * layer.head_dim;
  write.linear("self_attn.q_proj", 2 * q_width, config.hidden_size, config.attention_bias);
  write.linear("self_attn.k_proj", kv_width, config.hidden_size, config.attention_bias);
  write.linear("self_attn.v_proj", kv_width, config.hidden_size, config.attention_bias);
  write.linear("self_attn.o_proj", config.hidden_size, q_width, config.attention_bias);
  write.vector("self_attn.q_norm", layer.head_dim).zero_centred = true;
  write.vector("self_attn.k_norm", layer.head_dim).zero_centred = true;
}

void write_gated_delta(const GatedDeltaConfig& delta, uint32_t hidden, ParameterWriter& write) {
  write.linear("linear_attn.in_proj_qkv", delta.conv_channels(), hidden, false);
  write.linear("linear_attn.in_proj_z", delta.value_width(), hidden, false);
  write.matrix("linear_attn.in_proj_a", delta.value_heads, hidden).as_stored = true;
  write.matrix("linear_attn.in_proj_b", delta.value_heads, hidden).as_stored = true;
  write.table("linear_attn.conv1d", delta.conv_channels(), delta.conv_taps);
  write.vector("linear_attn.A_log", delta.value_heads);
  write.vector("linear_attn.dt_bias", delta.value_heads);
  write.vector("linear_attn.norm", delta.value_dim);  // the one norm that is stored as it is used
  write.linear("linear_attn.out_proj", hidden, delta.value_width(), false);
}

void write_ffn(const ModelConfig& config, uint32_t experts, ParameterWriter& write) {
  write.matrix("mlp.gate", experts, config.hidden_size).per_expert = true;
  write.gated_mlp("mlp.shared_expert", config.moe.shared_intermediate, config.hidden_size);
  write.matrix("mlp.shared_expert_gate", 1, config.hidden_size).as_stored = true;
}

}  // namespace

ParameterList qwen3_5_moe_parameters(const ModelConfig& config) {
  ParameterList list;
  list.head_may_be_absent = true;
  ParameterWriter write(list);
  const uint32_t hidden = config.hidden_size;
  write.matrix("embed_tokens", config.vocab_size, hidden).as_stored = true;
  write.vector("norm", hidden).zero_centred = true;
  write.matrix("lm_head", config.vocab_size, hidden);
  for (uint32_t i = 0; i < config.layer_count(); ++i) {
    const LayerConfig& layer = config.layers[i];
    write.at(fmt::format("layers.{}.", i));
    write.vector("input_layernorm", hidden).zero_centred = true;
    write.vector("post_attention_layernorm", hidden).zero_centred = true;
    if (layer.mixer == MixerKind::kGatedDelta) {
      write_gated_delta(*config.gated_delta, hidden, write);
      if (list.conv_probe.empty()) list.conv_probe = fmt::format("layers.{}.linear_attn.conv1d", i);
    } else {
      write_attention(config, layer, write);
    }
    write_ffn(config, layer.experts, write);
    list.experts.push_back({i, {fmt::format("layers.{}.mlp", i)}});
  }
  return list;
}

ParameterList qwen3_5_moe_mtp_parameters(const ModelConfig& config) {
  ParameterList list;
  ParameterWriter write(list);
  const uint32_t hidden = config.hidden_size;
  write.linear("mtp.fc", hidden, 2 * hidden, false);
  for (const char* norm : {"mtp.pre_fc_norm_embedding", "mtp.pre_fc_norm_hidden", "mtp.norm"}) {
    write.vector(norm, hidden).zero_centred = true;
  }
  const auto full = std::find_if(config.layers.begin(), config.layers.end(), [](const LayerConfig& layer) {
    return layer.mixer == MixerKind::kFullAttention;
  });
  for (uint32_t i = 0; i < config.mtp_layers && full != config.layers.end(); ++i) {
    write.at(fmt::format("mtp.layers.{}.", i));
    write.vector("input_layernorm", hidden).zero_centred = true;
    write.vector("post_attention_layernorm", hidden).zero_centred = true;
    write_attention(config, *full, write);
    write_ffn(config, config.moe.experts, write);
    list.experts.push_back({config.layer_count() + i, {fmt::format("mtp.layers.{}.mlp", i)}});
  }
  return list;
}

}  // namespace mach
