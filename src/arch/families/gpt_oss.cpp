// gpt_oss: gpt-oss-20b, gpt-oss-120b. Alternating sliding and full attention with sinks, YaRN without truncation, biases
// everywhere, every layer MoE with a clamped SwiGLU. Source: specs/gpt_oss.md sections 1 and 4.
//
// Parameters (D hidden, Hq and Hk heads of d, E experts, V vocabulary):
//   embed_tokens [V, D]   norm [D]   lm_head [V, D]
//   layers.N.input_layernorm [D]     layers.N.post_attention_layernorm [D]
//   layers.N.self_attn.q_proj [Hq d, D]   .k_proj, .v_proj [Hk d, D]   .o_proj [D, Hq d]   each with .bias
//   layers.N.self_attn.sinks [Hq]
//   layers.N.mlp.router [E, D]   .router.bias [E]   and routed experts with biases
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "arch/families/common.h"
#include "arch/families/family.h"
#include "arch/rope_reader.h"

namespace mach {
namespace {

constexpr float kActivationAlpha = 1.702F;

// What the reference's config class assumes when a file has no rotary settings.
RopeConfig read_gpt_oss_rope(const ConfigReader& text, const RopeRules& rules) {
  if (const auto settings = find_rope_settings(text)) return read_rope(text, *settings, rules);
  static const nlohmann::json kDefault = {{"rope_type", "yarn"}, {"factor", 32.0},
                                          {"beta_fast", 32.0},   {"beta_slow", 1.0},
                                          {"truncate", false},   {"original_max_position_embeddings", 4096}};
  return read_rope(text, ConfigReader(kDefault, text.where("rope_parameters")), rules);
}

}  // namespace

void parse_gpt_oss(const ConfigReader& text, const ConfigReader& root, ModelConfig& out) {
  const uint32_t layers = read_backbone(text, root, {.rms_norm_eps = 1e-5, .attention_bias = true}, out);
  LayerConfig layer;
  read_heads(text, out.hidden_size, layer);
  const RopeRules rules{
      .head_dim = layer.head_dim, .max_position = out.max_position_embeddings, .default_theta = 150000.0};
  layer.rope = add_rope(out, read_gpt_oss_rope(text, rules));

  read_experts(text, "num_experts_per_tok", "intermediate_size", out.moe);
  out.moe.router = RouterKind::kTopKSoftmax;
  out.moe.router_bias = true;
  out.moe.expert_bias = true;
  out.activation = {ActivationKind::kClampedSwiglu,
                    static_cast<float>(text.number_or("swiglu_limit", 7.0, 1e-3, 1e6)), kActivationAlpha};

  const auto types =
      read_layer_types(text, "layer_types", layers, false, {"sliding_attention", "full_attention"});
  out.layers.assign(layers, layer);
  for (uint32_t i = 0; i < layers; ++i) {
    const bool sliding = types.empty() ? i % 2 == 0 : types[i] == "sliding_attention";
    if (!sliding) continue;
    out.layers[i].mixer = MixerKind::kSlidingAttention;
    out.layers[i].window = text.count("sliding_window", kMaxPosition);
  }
}

ParameterList gpt_oss_parameters(const ModelConfig& config) {
  ParameterList list;
  list.fused_experts_in_out = true;
  ParameterWriter write(list);
  const uint32_t hidden = config.hidden_size;
  write.matrix("embed_tokens", config.vocab_size, hidden).as_stored = true;
  write.vector("norm", hidden);
  // In the published files experts have 4 bits and everything else is bf16, two thirds of what a token reads. Keys and values are
  // the small part, and rounding them costs most.
  const bool eight_bit = config.quant.method == QuantMethod::kMxFp4;
  write.matrix("lm_head", config.vocab_size, hidden).eight_bit = eight_bit;
  for (uint32_t i = 0; i < config.layer_count(); ++i) {
    const LayerConfig& layer = config.layers[i];
    const uint32_t q_width = layer.heads * layer.head_dim;
    const uint32_t kv_width = layer.kv_heads * layer.head_dim;
    write.at(fmt::format("layers.{}.", i));
    write.vector("input_layernorm", hidden);
    write.vector("post_attention_layernorm", hidden);
    write.linear("self_attn.q_proj", q_width, hidden, config.attention_bias).eight_bit = eight_bit;
    write.linear("self_attn.k_proj", kv_width, hidden, config.attention_bias);
    write.linear("self_attn.v_proj", kv_width, hidden, config.attention_bias);
    write.linear("self_attn.o_proj", hidden, q_width, config.attention_bias).eight_bit = eight_bit;
    write.vector("self_attn.sinks", layer.heads);
    write.matrix("mlp.router", layer.experts, hidden).per_expert = true;
    write.vector("mlp.router.bias", layer.experts).per_expert = true;
    list.experts.push_back({i, {fmt::format("layers.{}.mlp", i)}});
  }
  return list;
}

}  // namespace mach
