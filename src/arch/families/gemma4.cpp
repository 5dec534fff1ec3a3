// gemma4: Gemma 4 26B-A4B, and its dense and small siblings as far as the text model goes. Sliding layers with one head
// shape, full layers with another (often without a v_proj), a dense MLP beside the routed experts, optional per-layer
// embeddings and layers that share the K and V of earlier ones. Source: specs/gemma4.md sections 1 and 4.
//
// Parameters (D hidden, Hq and Hk heads of d in that layer, I dense width, E experts, P per-layer width, L layers):
//   embed_tokens [V, D], also lm_head when tied (published models)   norm [D]
//   layers.N.input_layernorm, .post_attention_layernorm, .pre_feedforward_layernorm, .post_feedforward_layernorm [D]
//   layers.N.layer_scalar [1], may be absent (then 1)
//   layers.N.self_attn.q_proj [Hq d, D]   .o_proj [D, Hq d]   .q_norm [d]
//   layers.N.self_attn.k_proj [Hk d, D]   .k_norm [d]   in layers that own KV;   .v_proj [Hk d, D] unless k_eq_v
//   layers.N.mlp.gate_proj, .up_proj [I, D]   .down_proj [D, I]
//   MoE: layers.N.router.proj [E, D]   .router.scale [D]   .router.per_expert_scale [E]   and routed experts
//        layers.N.post_feedforward_layernorm_1, .post_feedforward_layernorm_2, .pre_feedforward_layernorm_2 [D]
//   P > 0: embed_tokens_per_layer [Vp, L P]   per_layer_model_projection [L P, D]   per_layer_projection_norm [P]
//        layers.N.per_layer_input_gate [P, D]   .per_layer_projection [D, P]   .post_per_layer_input_norm [D]
#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "arch/families/common.h"
#include "arch/families/family.h"
#include "arch/rope_reader.h"

namespace mach {
namespace {

constexpr std::string_view kSliding = "sliding_attention";
constexpr std::string_view kFull = "full_attention";
constexpr uint32_t kDefaultPattern = 6;  // every sixth layer is full where layer_types is absent
constexpr uint32_t kDefaultGlobalHeadDim = 512;

std::vector<bool> read_full_layers(const ConfigReader& text, uint32_t layers) {
  const auto types = read_layer_types(text, "layer_types", layers, false, {kSliding, kFull});
  std::vector<bool> full(layers);
  for (uint32_t i = 0; i < layers; ++i)
    full[i] = types.empty() ? (i + 1) % kDefaultPattern == 0 : types[i] == kFull;
  full.back() = true;  // the reference forces this whatever the list says
  return full;
}

// The layer index that a key of per_layer_config names: digits, maybe with leading zeros.
uint32_t layer_index(const ConfigReader& table, const std::string& key, uint32_t layers) {
  const bool digits = !key.empty() && key.size() <= 9 &&
                      std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || std::stoul(key) >= layers) {
    throw Error(ErrorCode::kCorruptFile, fmt::format("{} is no layer, must be an index from 0 to {}",
                                                     table.where(shown(key)), layers - 1));
  }
  return static_cast<uint32_t>(std::stoul(key));
}

// Saved form of transformers v5: {"05": {"head_dim": 512, "num_key_value_heads": 2}, ...} over the plain values.
void apply_per_layer_config(const ConfigReader& table, std::vector<LayerConfig>& layers) {
  std::vector<bool> seen(layers.size());
  for (const auto& [key, value] : table.json().items()) {
    const uint32_t index = layer_index(table, key, static_cast<uint32_t>(layers.size()));
    if (seen[index]) table.fail(key, fmt::format("the only entry of layer {}", index));
    seen[index] = true;
    const auto entry = table.maybe_object(key);
    if (!entry) continue;
    for (const auto& [name, setting] : entry->json().items()) {
      if (name != "head_dim" && name != "num_key_value_heads") {
        entry->unsupported(name, "absent: only head_dim and num_key_value_heads can differ by layer");
      }
    }
    LayerConfig& layer = layers[index];
    layer.head_dim = entry->count_or("head_dim", layer.head_dim, kMaxHeadDim);
    layer.kv_heads = entry->count_or("num_key_value_heads", layer.kv_heads, kMaxHeads);
    check_head_groups(*entry, "num_key_value_heads", layer.heads, layer.kv_heads);
  }
}

// Published form: two keys for all full layers.
void apply_global_keys(const ConfigReader& text, bool k_eq_v, const std::vector<bool>& full,
                       std::vector<LayerConfig>& layers) {
  const uint32_t head_dim = text.count_or("global_head_dim", kDefaultGlobalHeadDim, kMaxHeadDim);
  const auto kv_heads = text.maybe_count("num_global_key_value_heads", kMaxHeads);
  for (size_t i = 0; i < layers.size(); ++i) {
    if (!full[i]) continue;
    layers[i].head_dim = head_dim;
    if (!k_eq_v || !kv_heads) continue;  // without k_eq_v the second key has no effect
    layers[i].kv_heads = *kv_heads;
    check_head_groups(text, "num_global_key_value_heads", layers[i].heads, *kv_heads);
  }
}

RopeConfig read_layer_rope(const ConfigReader& text, bool full, const RopeRules& rules) {
  static const nlohmann::json kDefaults = {
      {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 1e4}}},
      {"full_attention",
       {{"rope_type", "proportional"}, {"rope_theta", 1e6}, {"partial_rotary_factor", 0.25}}}};
  const std::string_view kind = full ? kFull : kSliding;
  const auto table = text.maybe_object("rope_parameters");
  const ConfigReader source = table ? *table : ConfigReader(kDefaults, text.where("rope_parameters"));
  const auto settings = source.maybe_object(kind);
  if (!settings) source.fail(kind, "an object with rope_type and rope_theta");
  return read_rope(*settings, *settings, rules);
}

// Layers from `first` on attend to the K and V of the last earlier layer of their kind.
void share_kv(const ConfigReader& text, uint32_t first, std::vector<LayerConfig>& layers) {
  for (size_t i = first; i < layers.size(); ++i) {
    for (uint32_t source = 0; source < first; ++source) {
      if (layers[source].mixer == layers[i].mixer) layers[i].kv_source = source;
    }
    if (!layers[i].kv_source) {
      text.fail("num_kv_shared_layers", fmt::format("smaller: layer {} has no earlier layer of its kind", i));
    }
    const LayerConfig& source = layers[*layers[i].kv_source];
    if (source.head_dim != layers[i].head_dim || source.kv_heads != layers[i].kv_heads) {
      text.fail("num_kv_shared_layers",
                fmt::format("such that layer {} has the head shape of layer {}, whose K and V "
                            "it reads",
                            i, *layers[i].kv_source));
    }
    layers[i].k_eq_v = false;
  }
}

void read_per_layer_embeddings(const ConfigReader& text, GemmaConfig& gemma) {
  constexpr std::string_view kKey = "hidden_size_per_layer_input";
  // Null means none, but an absent key would mean the reference's default of 256: too much to guess.
  if (!text.json().contains(kKey)) text.fail(kKey, "the width of the per-layer embeddings, or 0");
  gemma.per_layer_input = text.count_or(kKey, 0, kMaxHeadDim, 0);
  if (gemma.per_layer_input == 0) return;
  gemma.per_layer_vocab = text.count("vocab_size_per_layer_input", kMaxVocab);
  gemma.per_layer_embedding_scale = std::sqrt(static_cast<float>(gemma.per_layer_input));
}

void check_attention_switches(const ConfigReader& text, const ModelConfig& out) {
  if (out.attention_bias) text.unsupported("attention_bias", "false");
  const nlohmann::json* direction = text.find("use_bidirectional_attention");
  // "vision" changes only runs of image tokens, which text-only use never has.
  if (direction != nullptr && *direction != false && *direction != "vision") {
    text.unsupported("use_bidirectional_attention", "null or \"vision\"");
  }
}

}  // namespace

void parse_gemma4(const ConfigReader& text, const ConfigReader& root, ModelConfig& out) {
  const uint32_t layers = read_backbone(text, root, {.tie_word_embeddings = true}, out);
  require_word(text, "hidden_activation", "gelu_pytorch_tanh");
  check_attention_switches(text, out);
  out.activation.kind = ActivationKind::kPlainGeglu;

  LayerConfig layer;
  layer.heads = text.count("num_attention_heads", kMaxHeads);
  layer.kv_heads = text.count("num_key_value_heads", kMaxHeads);
  check_head_groups(text, "num_key_value_heads", layer.heads, layer.kv_heads);
  layer.head_dim = text.count("head_dim", kMaxHeadDim);
  layer.dense_intermediate = text.count("intermediate_size", kMaxWidth);
  layer.ffn = FfnKind::kDense;
  if (text.flag_or("enable_moe_block", false)) {
    layer.ffn = FfnKind::kMoeBesideDense;
    read_experts(text, "top_k_experts", "moe_intermediate_size", out.moe);
  }

  out.layers.assign(layers, layer);
  const std::vector<bool> full = read_full_layers(text, layers);
  const bool k_eq_v = text.flag_or("attention_k_eq_v", false);
  if (const auto table = text.maybe_object("per_layer_config")) {
    apply_per_layer_config(*table, out.layers);
  } else {
    apply_global_keys(text, k_eq_v, full, out.layers);
  }

  const uint32_t shared = text.count_or("num_kv_shared_layers", 0, layers - 1, 0);
  const uint32_t first_shared = layers - shared;
  const bool double_wide = text.flag_or("use_double_wide_mlp", false) && shared > 0;
  for (uint32_t i = 0; i < layers; ++i) {
    LayerConfig& current = out.layers[i];
    if (!full[i]) {
      current.mixer = MixerKind::kSlidingAttention;
      current.window = text.count("sliding_window", kMaxPosition);
    }
    current.k_eq_v = full[i] && k_eq_v;
    const RopeRules rules{.head_dim = current.head_dim, .max_position = out.max_position_embeddings};
    current.rope = add_rope(out, read_layer_rope(text, full[i], rules));
    if (double_wide && i >= first_shared) current.dense_intermediate *= 2;
  }
  share_kv(text, first_shared, out.layers);

  GemmaConfig gemma;
  gemma.embedding_scale = std::sqrt(static_cast<float>(out.hidden_size));
  if (const auto cap = text.maybe_number("final_logit_softcapping", 1e-3, 1e6)) {
    gemma.logit_softcap = static_cast<float>(*cap);
  }
  read_per_layer_embeddings(text, gemma);
  out.gemma = gemma;
}

namespace {

void write_attention(const LayerConfig& layer, uint32_t hidden, ParameterWriter& write) {
  const uint32_t q_width = layer.heads * layer.head_dim;
  const uint32_t kv_width = layer.kv_heads * layer.head_dim;
  write.linear("self_attn.q_proj", q_width, hidden, false);
  write.linear("self_attn.o_proj", hidden, q_width, false);
  write.vector("self_attn.q_norm", layer.head_dim);
  if (layer.kv_source) return;
  write.linear("self_attn.k_proj", kv_width, hidden, false);
  write.vector("self_attn.k_norm", layer.head_dim);
  if (!layer.k_eq_v) write.linear("self_attn.v_proj", kv_width, hidden, false);
}

void write_layer(const ModelConfig& config, const LayerConfig& layer, ParameterWriter& write) {
  const uint32_t hidden = config.hidden_size;
  for (const char* norm : {"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                           "post_feedforward_layernorm"}) {
    write.vector(norm, hidden);
  }
  write.vector("layer_scalar", 1).optional = true;
  write_attention(layer, hidden, write);
  write.gated_mlp("mlp", layer.dense_intermediate, hidden);
  if (layer.has_moe()) {
    write.matrix("router.proj", layer.experts, hidden).per_expert = true;
    write.vector("router.scale", hidden);
    write.vector("router.per_expert_scale", layer.experts).per_expert = true;
    for (const char* norm :
         {"post_feedforward_layernorm_1", "post_feedforward_layernorm_2", "pre_feedforward_layernorm_2"}) {
      write.vector(norm, hidden);
    }
  }
  if (const uint32_t width = config.gemma->per_layer_input; width > 0) {
    write.matrix("per_layer_input_gate", width, hidden);
    write.matrix("per_layer_projection", hidden, width);
    write.vector("post_per_layer_input_norm", hidden);
  }
}

}  // namespace

ParameterList gemma4_parameters(const ModelConfig& config) {
  ParameterList list;
  ParameterWriter write(list);
  const uint32_t hidden = config.hidden_size;
  write.matrix("embed_tokens", config.vocab_size, hidden).as_stored = true;
  write.vector("norm", hidden);
  write.matrix("lm_head", config.vocab_size, hidden);
  if (const uint32_t width = config.gemma->per_layer_input; width > 0) {
    write.matrix("embed_tokens_per_layer", config.gemma->per_layer_vocab, config.layer_count() * width)
        .as_stored = true;
    write.matrix("per_layer_model_projection", config.layer_count() * width, hidden);
    write.vector("per_layer_projection_norm", width);
  }
  for (uint32_t i = 0; i < config.layer_count(); ++i) {
    const LayerConfig& layer = config.layers[i];
    write.at(fmt::format("layers.{}.", i));
    write_layer(config, layer, write);
    if (layer.has_moe()) list.experts.push_back({i, {fmt::format("layers.{}", i)}});
    if (!layer.kv_source) continue;
    for (const char* module : {"k_proj", "v_proj", "k_norm"}) {
      list.ignored.push_back({fmt::format("layers.{}.self_attn.{}.", i, module),
                              fmt::format("layer {} reads the K and V of layer {}", i, *layer.kv_source)});
    }
  }
  return list;
}

}  // namespace mach
