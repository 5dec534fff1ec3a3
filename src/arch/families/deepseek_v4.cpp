// deepseek_v4: DeepSeek-V4-Flash. Several residual streams mixed by hyper-connections; one latent head that is K and V at
// once, seen through a window plus compressed entries (CSA with an indexer, HCA without); sqrt-softplus routing, by token
// id in the first layers. Source: specs/deepseek_v4.md sections 1 and 4.
//
// Parameters (D hidden, M streams, N heads of d, Q q_lora_rank, G groups with O = o_lora_rank rows each, n and i index
// heads and their dim, E experts, I width, V vocabulary). Names are those of transformers v5; files may use the original
// names (second column of the tables below) instead.
//   embed_tokens [V, D]   norm [D]   lm_head [V, D]   hc_head.hc_fn [M, M D]   .hc_base [M]   .hc_scale [1]
//   layers.N.input_layernorm, .post_attention_layernorm [D]
//   layers.N.attn_hc.fn [M (M + 2), M D]   .base [M (M + 2)]   .scale [3]    and ffn_hc the same
//   layers.N.self_attn.q_a_proj [Q, D]   .q_a_norm [Q]   .q_b_proj [N d, Q]   .kv_proj [d, D]   .kv_norm [d]
//           .o_a_proj [G O, N d / G], block g of O rows for head group g   .o_b_proj [D, G O]   .sinks [N]
//   CSA, HCA: layers.N.self_attn.compressor.kv_proj, .gate_proj [w, D]   .position_bias [ratio, w]   .kv_norm [d]
//           w = 2 d (CSA) or d (HCA)
//   CSA:    layers.N.self_attn.compressor.indexer.kv_proj, .gate_proj [2 i, D]   .position_bias [ratio, 2 i]
//           .kv_norm [i]   .q_b_proj [n i, Q]   .scorer.weights_proj [n, D]
//   layers.N.mlp.gate [E, D]   .gate.tid2eid [V, K] whole numbers (hash layers), else .gate.e_score_correction_bias [E]
//   layers.N.mlp.shared_experts.gate_proj, .up_proj [I, D]   .down_proj [D, I]   and routed experts
// Multi-token prediction (PlanOptions::mtp): mtp.K.e_proj, .h_proj [D, D]   mtp.K.enorm, .hnorm, .norm [D]
//   mtp.K.hc_head.* as above   and a sliding layer's names below mtp.K., experts as layer L + K
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "arch/families/common.h"
#include "arch/families/family.h"
#include "arch/rope_reader.h"

namespace mach {
namespace {

constexpr std::string_view kSliding = "sliding_attention";
constexpr std::string_view kCsa = "compressed_sparse_attention";
constexpr std::string_view kHca = "heavily_compressed_attention";
constexpr uint32_t kMaxRatio = 1U << 16;
constexpr uint32_t kMaxStreams = 64;
constexpr uint32_t kMaxRank = 1U << 16;
constexpr uint32_t kMaxGroups = 1024;

struct KindRow {
  std::string_view name;
  MixerKind kind;
  uint32_t published_ratio;  // in compress_ratios
};
constexpr KindRow kKinds[] = {
    {kSliding, MixerKind::kDeepSeekSliding, 0},
    {kCsa, MixerKind::kDeepSeekCsa, 4},
    {kHca, MixerKind::kDeepSeekHca, 128},
};

MixerKind kind_of_ratio(const ConfigReader& text, uint32_t ratio) {
  for (const KindRow& row : kKinds) {
    if (row.published_ratio == ratio) return row.kind;
  }
  text.unsupported("compress_ratios",
                   fmt::format("made of 0, 4 and 128 (not {}); other rates go to compress_rates", ratio));
}

// layer_types before compress_ratios; both may go on past the last layer (the MTP block).
std::vector<MixerKind> read_kinds(const ConfigReader& text, uint32_t layers) {
  std::vector<MixerKind> kinds;
  for (const std::string& type :
       read_layer_types(text, "layer_types", layers, true, {kSliding, kCsa, kHca})) {
    for (const KindRow& row : kKinds) {
      if (row.name == type) kinds.push_back(row.kind);
    }
  }
  if (!kinds.empty()) return kinds;
  const auto ratios = text.maybe_counts("compress_ratios", layers, kMaxRatio, 0);
  // The reference's default differs from every published model, so nothing is assumed.
  if (!ratios)
    text.fail("layer_types", "given (or compress_ratios): the kind of each layer cannot be guessed");
  for (uint32_t i = 0; i < layers; ++i) kinds.push_back(kind_of_ratio(text, (*ratios)[i]));
  return kinds;
}

uint32_t read_rate(const ConfigReader& text, std::string_view kind, std::string_view legacy_key,
                   uint32_t published) {
  if (const auto legacy = text.maybe_count(legacy_key, kMaxRatio)) return *legacy;
  const auto rates = text.maybe_object("compress_rates");
  return rates ? rates->count_or(kind, published, kMaxRatio) : published;
}

uint32_t read_rope_dims(const ConfigReader& text, uint32_t head_dim) {
  const auto dims = text.maybe_count("qk_rope_head_dim", kMaxHeadDim);
  const auto partial = text.maybe_number("partial_rotary_factor", 1e-6, 1.0);
  if (!dims && !partial) text.fail("qk_rope_head_dim", "given (or partial_rotary_factor)");
  if (!partial) return *dims;
  const auto from_factor = static_cast<uint32_t>(head_dim * *partial);
  if (dims && *dims != from_factor) {
    text.fail("qk_rope_head_dim", fmt::format("{}, as partial_rotary_factor and head_dim say", from_factor));
  }
  return from_factor;
}

// Settings of plain ("main") or compressed ("compress") layers: nested objects in the saved form, separate keys in the
// published one, where plain layers have no settings but a theta.
ConfigReader find_kind_settings(const ConfigReader& text, bool compressed) {
  static const nlohmann::json kPlain = {{"rope_type", "default"}};
  const auto nested = text.maybe_object("rope_parameters");
  if (nested && (nested->has("main") || nested->has("compress"))) {
    const std::string_view key = compressed ? "compress" : "main";
    if (const auto settings = nested->maybe_object(key)) return *settings;
    nested->fail(key, "an object with rope_type and rope_theta");
  }
  if (compressed) {
    if (const auto settings = find_rope_settings(text)) return *settings;
  }
  return ConfigReader(kPlain, text.where("rope_parameters"));
}

RopeConfig read_kind_rope(const ConfigReader& text, bool compressed, uint32_t head_dim, uint32_t rope_dims) {
  const char* theta_key = compressed ? "compress_rope_theta" : "rope_theta";
  const RopeRules rules{
      .head_dim = head_dim,
      .max_position = text.count("max_position_embeddings", kMaxPosition),
      .default_theta = text.number_or(theta_key, compressed ? 160000.0 : 10000.0, 1.0 + 1e-6, 1e15),
      .pairing = RopePairing::kInterleavedTrailing,
      .rotary_dims = rope_dims};
  const ConfigReader settings = find_kind_settings(text, compressed);
  RopeConfig rope = read_rope(settings, settings, rules);
  if (rope.type == RopeType::kProportional) settings.unsupported("rope_type", "default or yarn");
  // The reference sets the factor to 1 where the config gives none, and never finds `truncate` in nested settings.
  if (settings.number_or("attention_factor", 1.0, 0.0, 1e6) != 1.0)
    settings.unsupported("attention_factor", "1");
  rope.attention_factor = 1.0;
  rope.truncate = true;
  return rope;
}

DeepSeekConfig read_deepseek(const ConfigReader& text, const LayerConfig& layer, bool indexed) {
  DeepSeekConfig deepseek;
  deepseek.streams = text.count("hc_mult", kMaxStreams);
  deepseek.sinkhorn_iters = text.count_or("hc_sinkhorn_iters", 20, 1000);
  deepseek.hc_eps = static_cast<float>(text.number_or("hc_eps", 1e-6, 1e-20, 1.0));
  deepseek.q_lora_rank = text.count("q_lora_rank", kMaxRank);
  deepseek.o_groups = text.count("o_groups", kMaxGroups);
  if (layer.heads % deepseek.o_groups != 0) {
    text.fail("o_groups", fmt::format("a divisor of num_attention_heads ({})", layer.heads));
  }
  deepseek.o_lora_rank = text.count("o_lora_rank", kMaxRank);
  deepseek.rope_dims = read_rope_dims(text, layer.head_dim);
  if (deepseek.rope_dims % 2 != 0 || deepseek.rope_dims == 0 || deepseek.rope_dims > layer.head_dim) {
    text.fail("qk_rope_head_dim", fmt::format("even and at most head_dim ({})", layer.head_dim));
  }
  deepseek.csa_ratio = read_rate(text, kCsa, "compress_rate_csa", 4);
  deepseek.hca_ratio = read_rate(text, kHca, "compress_rate_hca", 128);
  if (!indexed) return deepseek;
  deepseek.index_heads = text.count("index_n_heads", kMaxHeads);
  deepseek.index_head_dim = text.count("index_head_dim", kMaxHeadDim, deepseek.rope_dims);
  deepseek.index_topk = text.count("index_topk", kMaxPosition);
  return deepseek;
}

void read_moe(const ConfigReader& text, ModelConfig& out) {
  require_word(text, "hidden_act", "silu");
  require_word(text, "scoring_func", "sqrtsoftplus");
  require_word(text, "topk_method", "noaux_tc");
  out.moe.experts = text.count({"n_routed_experts", "num_local_experts", "num_experts"}, kMaxExperts);
  out.moe.top_k = text.count("num_experts_per_tok", kMaxExperts);
  if (out.moe.top_k > out.moe.experts) {
    text.fail("num_experts_per_tok", fmt::format("at most the number of experts ({})", out.moe.experts));
  }
  out.moe.intermediate = text.count("moe_intermediate_size", kMaxWidth);
  if (text.count_or("n_shared_experts", 1, kMaxExperts, 0) != 1) text.unsupported("n_shared_experts", "1");
  out.moe.shared_intermediate = out.moe.intermediate;
  out.moe.router = RouterKind::kSqrtSoftplus;
  out.moe.renormalize = true;  // both references do, whatever norm_topk_prob says
  out.moe.routed_scale = static_cast<float>(text.number_or("routed_scaling_factor", 1.5, 1e-6, 1e6));
  out.activation = {ActivationKind::kSiluLimited,
                    static_cast<float>(text.number_or("swiglu_limit", 10.0, 1e-3, 1e6)), 0.0F};
}

}  // namespace

void parse_deepseek_v4(const ConfigReader& text, const ConfigReader& root, ModelConfig& out) {
  const uint32_t layers = read_backbone(text, root, {}, out);
  if (out.attention_bias) text.unsupported("attention_bias", "false");
  LayerConfig layer;
  layer.heads = text.count("num_attention_heads", kMaxHeads);
  layer.kv_heads = text.count_or("num_key_value_heads", 1, 1);
  layer.head_dim = text.count("head_dim", kMaxHeadDim);
  layer.window = text.count("sliding_window", kMaxPosition);
  read_moe(text, out);

  const std::vector<MixerKind> kinds = read_kinds(text, layers);
  bool indexed = false;
  for (const MixerKind kind : kinds) indexed = indexed || kind == MixerKind::kDeepSeekCsa;
  DeepSeekConfig deepseek = read_deepseek(text, layer, indexed);

  const uint32_t plain_rope = add_rope(out, read_kind_rope(text, false, layer.head_dim, deepseek.rope_dims));
  const uint32_t compress_rope =
      add_rope(out, read_kind_rope(text, true, layer.head_dim, deepseek.rope_dims));
  if (indexed) {
    deepseek.index_rope =
        add_rope(out, read_kind_rope(text, true, deepseek.index_head_dim, deepseek.rope_dims));
  }

  const auto ffn = read_layer_types(text, "mlp_layer_types", layers, true, {"hash_moe", "moe"});
  const uint32_t hash_layers = text.count_or("num_hash_layers", 3, kMaxLayers, 0);
  for (uint32_t i = 0; i < layers; ++i) {
    LayerConfig& current = out.layers.emplace_back(layer);
    current.mixer = kinds[i];
    current.rope = kinds[i] == MixerKind::kDeepSeekSliding ? plain_rope : compress_rope;
    if (kinds[i] == MixerKind::kDeepSeekCsa) current.compress_ratio = deepseek.csa_ratio;
    if (kinds[i] == MixerKind::kDeepSeekHca) current.compress_ratio = deepseek.hca_ratio;
    current.hash_routed = ffn.empty() ? i < hash_layers : ffn[i] == "hash_moe";
  }
  out.deepseek = deepseek;
  out.mtp_layers = text.count_or("num_nextn_predict_layers", 0, kMaxLayers, 0);
}

namespace {

// A ParameterWriter that also notes a parameter's original name, and the one of MLX conversions where that differs.
class Names {
 public:
  explicit Names(ParameterList& list) : write_(list) {}
  void at(const std::string& prefix) {
    prefix_ = prefix;
    write_.at(prefix);
  }
  Parameter& linear(std::string_view name, std::string_view original, uint32_t rows, uint32_t cols,
                    std::string_view mlx = "") {
    Parameter& parameter = spell(write_.matrix(name, rows, cols), original, mlx);
    parameter.precision = WeightPrecision::kLinear;
    return parameter;
  }
  // Neither FP8 nor fp32: what the published checkpoint keeps in bf16.
  Parameter& matrix(std::string_view name, std::string_view original, uint32_t rows, uint32_t cols) {
    return spell(write_.matrix(name, rows, cols), original, "");
  }
  void norm(std::string_view name, std::string_view original, uint32_t count) {
    spell(write_.vector(name, count), original, "");
  }
  Parameter& floats(std::string_view name, std::string_view original, uint32_t count,
                    std::string_view mlx = "") {
    Parameter& parameter = spell(write_.vector(name, count), original, mlx);
    parameter.precision = WeightPrecision::kFloat;
    return parameter;
  }
  void float_table(std::string_view name, std::string_view original, uint32_t rows, uint32_t cols) {
    spell(write_.table(name, rows, cols), original, "").precision = WeightPrecision::kFloat;
  }
  void float_matrix(std::string_view name, std::string_view original, uint32_t rows, uint32_t cols,
                    std::string_view mlx = "") {
    spell(write_.matrix(name, rows, cols), original, mlx).precision = WeightPrecision::kFloat;
  }
  void integers(std::string_view name, std::string_view original, uint32_t rows, uint32_t cols) {
    Parameter& parameter = write_.matrix(name, rows, cols);
    parameter.kind = ParameterKind::kIntegers;
    spell(parameter, original, "");
  }

 private:
  Parameter& spell(Parameter& parameter, std::string_view original, std::string_view mlx) const {
    parameter.spellings.push_back(prefix_ + std::string(original));
    if (!mlx.empty()) parameter.spellings.push_back(prefix_ + std::string(mlx));
    return parameter;
  }
  ParameterWriter write_;
  std::string prefix_;
};

void write_hyper_connection(const DeepSeekConfig& deepseek, uint32_t hidden, std::string_view name,
                            std::string_view original, Names& write) {
  const uint32_t rows = deepseek.hc_rows();
  write.float_matrix(fmt::format("{}.fn", name), fmt::format("{}_fn", original), rows,
                     deepseek.streams * hidden);
  write.floats(fmt::format("{}.base", name), fmt::format("{}_base", original), rows);
  write.floats(fmt::format("{}.scale", name), fmt::format("{}_scale", original), 3);
}

// Content and gate projections of `width` outputs pooled over `ratio` tokens into entries of `dim`.
void write_compressor(std::string_view name, std::string_view original, uint32_t width, uint32_t ratio,
                      uint32_t dim, uint32_t hidden, Names& write) {
  write.matrix(fmt::format("{}.kv_proj", name), fmt::format("{}.wkv", original), width, hidden).as_stored =
      true;
  write.matrix(fmt::format("{}.gate_proj", name), fmt::format("{}.wgate", original), width, hidden)
      .as_stored = true;
  write.float_table(fmt::format("{}.position_bias", name), fmt::format("{}.ape", original), ratio, width);
  write.norm(fmt::format("{}.kv_norm", name), fmt::format("{}.norm", original), dim);
}

void write_attention(const ModelConfig& config, const LayerConfig& layer, Names& write) {
  const DeepSeekConfig& deepseek = *config.deepseek;
  const uint32_t hidden = config.hidden_size;
  const uint32_t width = layer.heads * layer.head_dim;
  const uint32_t rank = deepseek.q_lora_rank;
  const uint32_t groups_width = deepseek.o_groups * deepseek.o_lora_rank;
  write.linear("self_attn.q_a_proj", "attn.wq_a", rank, hidden);
  write.norm("self_attn.q_a_norm", "attn.q_norm", rank);
  write.linear("self_attn.q_b_proj", "attn.wq_b", width, rank);
  write.linear("self_attn.kv_proj", "attn.wkv", layer.head_dim, hidden);
  write.norm("self_attn.kv_norm", "attn.kv_norm", layer.head_dim);
  // Its groups are matrices of their own.
  write.linear("self_attn.o_a_proj", "attn.wo_a", groups_width, width / deepseek.o_groups).as_stored = true;
  write.linear("self_attn.o_b_proj", "attn.wo_b", hidden, groups_width);
  write.floats("self_attn.sinks", "attn.attn_sink", layer.heads);
  if (layer.mixer == MixerKind::kDeepSeekSliding) return;
  const bool csa = layer.mixer == MixerKind::kDeepSeekCsa;
  write_compressor("self_attn.compressor", "attn.compressor", (csa ? 2 : 1) * layer.head_dim,
                   layer.compress_ratio, layer.head_dim, hidden, write);
  if (!csa) return;
  const uint32_t index_dim = deepseek.index_head_dim;
  write_compressor("self_attn.compressor.indexer", "attn.indexer.compressor", 2 * index_dim,
                   layer.compress_ratio, index_dim, hidden, write);
  write.linear("self_attn.compressor.indexer.q_b_proj", "attn.indexer.wq_b", deepseek.index_heads * index_dim,
               rank);
  write
      .matrix("self_attn.compressor.indexer.scorer.weights_proj", "attn.indexer.weights_proj",
              deepseek.index_heads, hidden)
      .as_stored = true;
}

void write_ffn(const ModelConfig& config, const LayerConfig& layer, Names& write) {
  const uint32_t hidden = config.hidden_size;
  const uint32_t width = config.moe.shared_intermediate;
  write.matrix("mlp.gate", "ffn.gate", layer.experts, hidden).per_expert = true;
  if (layer.hash_routed) {
    write.integers("mlp.gate.tid2eid", "ffn.gate.tid2eid", config.vocab_size, config.moe.top_k);
  } else {
    write
        .floats("mlp.gate.e_score_correction_bias", "ffn.gate.bias", layer.experts,
                "ffn.gate.e_score_correction_bias")
        .per_expert = true;
  }
  constexpr std::string_view kShared = "ffn.shared_experts";
  write.linear("mlp.shared_experts.gate_proj", "ffn.shared_experts.w1", width, hidden,
               fmt::format("{}.gate_proj", kShared));
  write.linear("mlp.shared_experts.up_proj", "ffn.shared_experts.w3", width, hidden,
               fmt::format("{}.up_proj", kShared));
  write.linear("mlp.shared_experts.down_proj", "ffn.shared_experts.w2", hidden, width,
               fmt::format("{}.down_proj", kShared));
}

void write_layer(const ModelConfig& config, const LayerConfig& layer, Names& write) {
  write.norm("input_layernorm", "attn_norm", config.hidden_size);
  write.norm("post_attention_layernorm", "ffn_norm", config.hidden_size);
  write_hyper_connection(*config.deepseek, config.hidden_size, "attn_hc", "hc_attn", write);
  write_hyper_connection(*config.deepseek, config.hidden_size, "ffn_hc", "hc_ffn", write);
  write_attention(config, layer, write);
  write_ffn(config, layer, write);
}

}  // namespace

ParameterList deepseek_v4_parameters(const ModelConfig& config) {
  ParameterList list;
  Names write(list);
  const uint32_t hidden = config.hidden_size;
  const DeepSeekConfig& deepseek = *config.deepseek;
  write.matrix("embed_tokens", "embed", config.vocab_size, hidden).as_stored = true;
  write.norm("norm", "norm", hidden);
  write.matrix("lm_head", "head", config.vocab_size, hidden);
  write.float_matrix("hc_head.hc_fn", "hc_head_fn", deepseek.streams, deepseek.streams * hidden,
                     "hc_head.fn");
  write.floats("hc_head.hc_base", "hc_head_base", deepseek.streams, "hc_head.base");
  write.floats("hc_head.hc_scale", "hc_head_scale", 1, "hc_head.scale");
  for (uint32_t i = 0; i < config.layer_count(); ++i) {
    write.at(fmt::format("layers.{}.", i));
    write_layer(config, config.layers[i], write);
    list.experts.push_back({i, {fmt::format("layers.{}.mlp", i), fmt::format("layers.{}.ffn", i)}});
  }
  return list;
}

ParameterList deepseek_v4_mtp_parameters(const ModelConfig& config) {
  ParameterList list;
  Names write(list);
  const uint32_t hidden = config.hidden_size;
  const uint32_t streams = config.deepseek->streams;
  LayerConfig layer = config.layers.front();  // every block is of the sliding kind and scores its experts
  layer.mixer = MixerKind::kDeepSeekSliding;
  layer.compress_ratio = 0;
  layer.hash_routed = false;
  layer.experts = config.moe.experts;
  for (uint32_t i = 0; i < config.mtp_layers; ++i) {
    write.at(fmt::format("mtp.{}.", i));
    write.linear("e_proj", "e_proj", hidden, hidden);
    write.linear("h_proj", "h_proj", hidden, hidden);
    for (const char* norm : {"enorm", "hnorm", "norm"}) write.norm(norm, norm, hidden);
    write.float_matrix("hc_head.hc_fn", "hc_head_fn", streams, streams * hidden);
    write.floats("hc_head.hc_base", "hc_head_base", streams);
    write.floats("hc_head.hc_scale", "hc_head_scale", 1);
    write_layer(config, layer, write);
    list.experts.push_back(
        {config.layer_count() + i, {fmt::format("mtp.{}.ffn", i), fmt::format("mtp.{}.mlp", i)}});
  }
  return list;
}

}  // namespace mach
