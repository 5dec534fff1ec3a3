// One checkpoint's config.json as facts: every dimension present, bounded and consistent, every alias and old
// spelling resolved, so that whoever builds a graph, a cache or a size estimate asks this struct and never
// the JSON. Parsing allocates nothing larger than the layer list (at most kMaxLayers entries) and reads no
// other file. Plain values: immutable after parse_model_config, free to share between threads.
//
// Which fields a family uses: all use the first block, `layers`, `ropes` and `moe`; the optionals at the end
// are there exactly for their family.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "arch/quant_config.h"
#include "arch/rope_config.h"

namespace mach {

enum class Family : uint8_t { kQwen3Moe, kQwen3_5Moe, kGptOss, kGemma4, kDeepSeekV4 };

// What mixes tokens in a layer.
enum class MixerKind : uint8_t {
  kFullAttention,     // causal over everything
  kSlidingAttention,  // causal over the last `window` positions, the query's own included
  kGatedDelta,        // Gated DeltaNet: no KV, a conv window and a recurrent state
  kDeepSeekSliding,   // DeepSeek V4, one latent K=V head: window only
  kDeepSeekCsa,       // window + overlapping compressed entries chosen by an indexer
  kDeepSeekHca,       // window + all compressed entries
};

enum class FfnKind : uint8_t {
  kDense,
  kMoe,
  kMoeBesideDense,  // a dense MLP and routed experts in parallel (Gemma 4)
};

struct LayerConfig {
  MixerKind mixer = MixerKind::kFullAttention;
  FfnKind ffn = FfnKind::kMoe;
  uint32_t heads = 0;                 // query heads; 0 for kGatedDelta
  uint32_t kv_heads = 0;              // divides heads; 0 for kGatedDelta
  uint32_t head_dim = 0;              // 0 for kGatedDelta
  uint32_t window = 0;                // visible keys including the query's own; 0 = no limit
  uint32_t rope = 0;                  // index into ModelConfig::ropes; unused for kGatedDelta
  bool k_eq_v = false;                // Gemma 4: no v_proj, V is made from the K projection
  std::optional<uint32_t> kv_source;  // Gemma 4: attends to the K and V of this earlier layer and owns none
  uint32_t dense_intermediate = 0;    // width of the dense MLP; 0 if there is none
  uint32_t experts = 0;               // routed experts: MoeConfig::experts, or fewer in a pruned layer
  bool hash_routed = false;           // DeepSeek V4: experts are chosen by token id (tid2eid)
  uint32_t compress_ratio = 0;        // DeepSeek V4: tokens per compressed entry; 0 for kDeepSeekSliding

  bool has_moe() const noexcept { return ffn != FfnKind::kDense; }
};

enum class ActivationKind : uint8_t {
  kPlainSwiglu,   // silu(g) * u
  kSiluLimited,   // silu(min(g, limit)) * clamp(u, -limit, limit)
  kPlainGeglu,    // gelu_tanh(g) * u
  kClampedSwiglu  // gpt-oss: g' = min(g, limit), u' = clamp(u, -limit, limit); (u' + 1) * g' * sigmoid(alpha
                  // * g')
};

// Of every gated MLP of the model: routed and shared experts, dense MLPs.
struct ExpertActivation {
  ActivationKind kind = ActivationKind::kPlainSwiglu;
  float limit = 0.0F;  // kSiluLimited, kClampedSwiglu
  float alpha = 0.0F;  // kClampedSwiglu
};

enum class RouterKind : uint8_t {
  kSoftmaxTopK,   // softmax over all experts, then top-k, then (renormalize) divided by their sum
  kTopKSoftmax,   // top-k logits, then softmax over those (gpt-oss)
  kSqrtSoftplus,  // sqrt(softplus(logit)); top-k of score + correction bias, weights from the score (DeepSeek
                  // V4)
};

struct MoeConfig {
  uint32_t experts =
      0;  // routed experts per MoE layer, where it is not pruned; 0 = the model has no MoE layer
  uint32_t top_k = 0;
  uint32_t intermediate = 0;  // width of one routed expert
  RouterKind router = RouterKind::kSoftmaxTopK;
  bool renormalize = true;           // the k weights are divided by their sum
  float routed_scale = 1.0F;         // multiplies the k weights
  bool router_bias = false;          // gpt-oss: part of the logits
  bool expert_bias = false;          // gate, up and down of routed experts have biases
  uint32_t shared_intermediate = 0;  // width of the shared expert; 0 if there is none
  bool shared_gate = false;          // Qwen3.5: its output is scaled by sigmoid(x . shared_expert_gate)
};

struct GatedDeltaConfig {
  uint32_t key_heads = 0, value_heads = 0;  // value_heads is a multiple of key_heads
  uint32_t key_dim = 0, value_dim = 0;      // per head
  uint32_t conv_taps = 0;                   // causal depthwise, current token included
  uint32_t key_width() const noexcept { return key_heads * key_dim; }
  uint32_t value_width() const noexcept { return value_heads * value_dim; }
  uint32_t conv_channels() const noexcept { return 2 * key_width() + value_width(); }  // q | k | v
};

struct GemmaConfig {
  float embedding_scale = 1.0F;  // sqrt(hidden_size) in fp32 (a bf16 run of the reference rounds it to bf16)
  std::optional<float> logit_softcap;      // logits = c * tanh(logits / c)
  uint32_t per_layer_input = 0;            // width P of the per-layer embeddings; 0 = none
  uint32_t per_layer_vocab = 0;            // rows of their table
  float per_layer_embedding_scale = 1.0F;  // sqrt(P)
};

struct DeepSeekConfig {
  uint32_t streams = 0;  // hc_mult: residual streams
  uint32_t sinkhorn_iters = 0;
  float hc_eps = 0.0F;
  uint32_t q_lora_rank = 0;
  uint32_t o_groups = 0;     // divides the heads
  uint32_t o_lora_rank = 0;  // per group
  uint32_t rope_dims = 0;    // R, at the end of heads and of index vectors
  uint32_t index_heads = 0, index_head_dim = 0, index_topk = 0;
  uint32_t csa_ratio = 0, hca_ratio = 0;
  uint32_t index_rope = 0;  // index into ModelConfig::ropes for indexer queries and keys (head_dim differs)
  // Rows of hc fn and base: M pre, M post, M * M mixing weights.
  uint32_t hc_rows() const noexcept { return streams * (streams + 2); }
};

struct ModelConfig {
  Family family = Family::kQwen3Moe;
  std::string model_type;  // as the file says, e.g. "gemma4_text"
  uint32_t vocab_size = 0;
  uint32_t hidden_size = 0;
  float rms_norm_eps = 1e-6F;
  bool tie_word_embeddings = false;  // what the config says; TensorPlan::tied_head is what the file does
  bool attention_bias = false;       // on q, k, v and o
  uint32_t max_position_embeddings = 0;
  std::vector<LayerConfig> layers;
  std::vector<RopeConfig> ropes;  // distinct settings; layers point in
  MoeConfig moe;
  ExpertActivation activation;
  std::vector<uint32_t> bos_token_ids, eos_token_ids;  // may be empty; generation_config.json can add to them
  std::optional<uint32_t> pad_token_id;
  QuantConfig quant;
  uint32_t mtp_layers = 0;  // announced; the tensors decide whether they are there

  std::optional<GatedDeltaConfig> gated_delta;  // kQwen3_5Moe
  std::optional<GemmaConfig> gemma;             // kGemma4
  std::optional<DeepSeekConfig> deepseek;       // kDeepSeekV4

  uint32_t layer_count() const noexcept { return static_cast<uint32_t>(layers.size()); }
  const RopeConfig& rope_of(const LayerConfig& layer) const { return ropes[layer.rope]; }
  uint32_t moe_layer_count() const noexcept;
  // Of a layer of the model, or behind them of its multi-token prediction block, which is never pruned alone.
  uint32_t experts_of(uint32_t layer) const noexcept {
    return layer < layers.size() ? layers[layer].experts : moe.experts;
  }
};

// Key of config.json, mach's own: routed experts of each layer, 0 where it has none. Absent: all of them everywhere.
inline constexpr std::string_view kLayerExpertsKey = "mach_experts_per_layer";

inline constexpr uint32_t kMaxLayers = 1024;
inline constexpr uint64_t kMaxRoutedExperts = 1U
                                              << 18;  // of all layers together; DeepSeek-V4-Flash has 11,008

// `what` names the file in errors, e.g. "/models/x/config.json". Throws Error{kUnsupported} for a model_type,
// layer type, rope type, activation or quantisation method that mach does not know (naming the known ones),
// Error{kCorruptFile} for a missing, wrong or contradictory key, naming it and what would be right.
ModelConfig parse_model_config(const nlohmann::json& config, std::string_view what = "config.json");

}  // namespace mach
