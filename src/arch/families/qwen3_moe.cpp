// qwen3_moe: Qwen3-30B-A3B, Qwen3-Coder-30B-A3B, Qwen3-235B-A22B. Standard attention with per-head q and k norms; every
// layer MoE unless the config names dense ones. Source: specs/qwen3_moe.md sections 1 and 4.
//
// Parameters (D hidden, Hq and Hk heads of d, E experts, V vocabulary):
//   embed_tokens [V, D]   norm [D]   lm_head [V, D]
//   layers.N.input_layernorm [D]     layers.N.post_attention_layernorm [D]
//   layers.N.self_attn.q_proj [Hq d, D]   .k_proj, .v_proj [Hk d, D]   .o_proj [D, Hq d]   each with .bias if
//   attention_bias   .q_norm, .k_norm [d]
//   layers.N.mlp.gate [E, D] and routed experts; in dense layers layers.N.mlp.gate_proj, .up_proj, .down_proj
#include <algorithm>

#include <fmt/format.h>

#include "arch/families/common.h"
#include "arch/families/family.h"
#include "arch/rope_reader.h"

namespace mach {
namespace {

struct DenseLayers {
  uint32_t step;
  std::vector<uint32_t> listed;
  bool contains(uint32_t layer) const {
    return (layer + 1) % step != 0 || std::find(listed.begin(), listed.end(), layer) != listed.end();
  }
};

}  // namespace

void parse_qwen3_moe(const ConfigReader& text, const ConfigReader& root, ModelConfig& out) {
  const uint32_t layers = read_backbone(text, root, {}, out);
  require_word(text, "hidden_act", "silu");
  LayerConfig layer;
  read_heads(text, out.hidden_size, layer);
  RopeRules rules{.head_dim = layer.head_dim, .max_position = out.max_position_embeddings};
  layer.rope = add_rope(out, read_rope(text, rules));
  // The window counts only with the switch on: published files carry one that nothing uses.
  if (text.flag_or("use_sliding_window", false)) {
    layer.window = text.count("sliding_window", kMaxPosition);
    layer.mixer = MixerKind::kSlidingAttention;
  }
  read_layer_types(text, "layer_types", layers, false,
                   {layer.window > 0 ? "sliding_attention" : "full_attention"});

  read_experts(text, "num_experts_per_tok", "moe_intermediate_size", out.moe);
  out.moe.renormalize = text.flag_or("norm_topk_prob", false);
  const DenseLayers dense{
      text.count_or("decoder_sparse_step", 1, kMaxLayers),
      text.maybe_counts("mlp_only_layers", 0, layers - 1, 0).value_or(std::vector<uint32_t>{})};
  out.layers.assign(layers, layer);
  for (uint32_t i = 0; i < layers; ++i) {
    if (!dense.contains(i)) continue;
    out.layers[i].ffn = FfnKind::kDense;
    out.layers[i].dense_intermediate = text.count("intermediate_size", kMaxWidth);
  }
}

ParameterList qwen3_moe_parameters(const ModelConfig& config) {
  ParameterList list;
  ParameterWriter write(list);
  const uint32_t hidden = config.hidden_size;
  write.matrix("embed_tokens", config.vocab_size, hidden).as_stored = true;
  write.vector("norm", hidden);
  write.matrix("lm_head", config.vocab_size, hidden);
  for (uint32_t i = 0; i < config.layer_count(); ++i) {
    const LayerConfig& layer = config.layers[i];
    const uint32_t q_width = layer.heads * layer.head_dim;
    const uint32_t kv_width = layer.kv_heads * layer.head_dim;
    write.at(fmt::format("layers.{}.", i));
    write.vector("input_layernorm", hidden);
    write.vector("post_attention_layernorm", hidden);
    write.linear("self_attn.q_proj", q_width, hidden, config.attention_bias);
    write.linear("self_attn.k_proj", kv_width, hidden, config.attention_bias);
    write.linear("self_attn.v_proj", kv_width, hidden, config.attention_bias);
    write.linear("self_attn.o_proj", hidden, q_width, config.attention_bias);
    write.vector("self_attn.q_norm", layer.head_dim);
    write.vector("self_attn.k_norm", layer.head_dim);
    if (layer.has_moe()) {
      write.matrix("mlp.gate", layer.experts, hidden).per_expert = true;
      list.experts.push_back({i, {fmt::format("layers.{}.mlp", i)}});
    } else {
      write.gated_mlp("mlp", layer.dense_intermediate, hidden);
    }
  }
  return list;
}

}  // namespace mach
