// What the family files share: limits, the keys that all configs have, and short ways to write parameter lists.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "arch/config_reader.h"
#include "arch/model_config.h"
#include "arch/parameters.h"

namespace mach {

// Far above any published model, and low enough that no sum of bytes over a whole model passes 2^64.
inline constexpr uint32_t kMaxWidth = 1U << 18;  // hidden and intermediate sizes
inline constexpr uint32_t kMaxVocab = 1U << 24;
inline constexpr uint32_t kMaxHeads = 1024;
inline constexpr uint32_t kMaxHeadDim = 1024;
inline constexpr uint32_t kMaxExperts = 4096;
inline constexpr uint32_t kMaxPosition = 1U << 30;

struct BackboneRules {
  double rms_norm_eps = 1e-6;  // where the config has none
  bool attention_bias = false;
  bool tie_word_embeddings = false;
};

// vocab, hidden size, layer count (returned), eps, tie, bias, context and token ids.
uint32_t read_backbone(const ConfigReader& text, const ConfigReader& root, const BackboneRules& rules,
                       ModelConfig& out);

// Query heads, KV heads and head_dim of plain attention; `layer` receives them. Without head_dim: hidden / heads.
void read_heads(const ConfigReader& text, uint32_t hidden_size, LayerConfig& layer);
void check_head_groups(const ConfigReader& text, std::string_view key, uint32_t heads, uint32_t kv_heads);

// Experts per layer, top-k and width, all required.
void read_experts(const ConfigReader& text, std::string_view top_k_key, std::string_view width_key,
                  MoeConfig& moe);

// Throws Error{kUnsupported} unless the key is absent or `wanted`.
void require_word(const ConfigReader& text, std::string_view key, std::string_view wanted);

// layer_types with exactly `layers` entries (or at least, if `extra` are allowed), each one of `known`; empty if absent.
std::vector<std::string> read_layer_types(const ConfigReader& text, std::string_view key, uint32_t layers,
                                          bool extra, std::initializer_list<std::string_view> known);

// The index of these settings in out.ropes, added if new.
uint32_t add_rope(ModelConfig& out, const RopeConfig& rope);

// Collects parameters with little noise.
class ParameterWriter {
 public:
  explicit ParameterWriter(ParameterList& list) : list_(list) {}
  // Prepended to the names that follow, e.g. "layers.3.".
  void at(std::string prefix) { prefix_ = std::move(prefix); }
  Parameter& matrix(std::string_view name, uint32_t rows, uint32_t cols);
  Parameter& vector(std::string_view name, uint32_t count);
  Parameter& table(std::string_view name, uint32_t rows, uint32_t cols);
  // A Linear, with or without a bias; answers with the matrix.
  Parameter& linear(std::string_view name, uint32_t rows, uint32_t cols, bool bias);
  // gate_proj, up_proj and down_proj of a gated MLP.
  void gated_mlp(std::string_view module, uint32_t width, uint32_t hidden);

 private:
  Parameter& add(std::string_view name, ParameterKind kind, uint32_t rows, uint32_t cols);

  ParameterList& list_;
  std::string prefix_;
};

}  // namespace mach
