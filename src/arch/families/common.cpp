#include "arch/families/common.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

namespace mach {

uint32_t read_backbone(const ConfigReader& text, const ConfigReader& root, const BackboneRules& rules,
                       ModelConfig& out) {
  out.vocab_size = text.count("vocab_size", kMaxVocab);
  out.hidden_size = text.count("hidden_size", kMaxWidth);
  out.rms_norm_eps = static_cast<float>(text.number_or("rms_norm_eps", rules.rms_norm_eps, 1e-20, 1.0));
  out.attention_bias = text.flag_or("attention_bias", rules.attention_bias);
  out.max_position_embeddings = text.count("max_position_embeddings", kMaxPosition);
  const auto tie = text.maybe_flag("tie_word_embeddings");
  out.tie_word_embeddings = tie ? *tie : root.flag_or("tie_word_embeddings", rules.tie_word_embeddings);
  const auto ids = [&](std::string_view key) {
    constexpr uint32_t kMaxTokenId = INT32_MAX;
    return text.has(key) ? text.one_or_many(key, kMaxTokenId) : root.one_or_many(key, kMaxTokenId);
  };
  out.bos_token_ids = ids("bos_token_id");
  out.eos_token_ids = ids("eos_token_id");
  if (const auto pad = ids("pad_token_id"); !pad.empty()) out.pad_token_id = pad.front();
  return text.count("num_hidden_layers", kMaxLayers);
}

void check_head_groups(const ConfigReader& text, std::string_view key, uint32_t heads, uint32_t kv_heads) {
  if (heads % kv_heads != 0) text.fail(key, fmt::format("a divisor of num_attention_heads ({})", heads));
}

void read_heads(const ConfigReader& text, uint32_t hidden_size, LayerConfig& layer) {
  layer.heads = text.count("num_attention_heads", kMaxHeads);
  layer.kv_heads = text.count("num_key_value_heads", kMaxHeads);
  check_head_groups(text, "num_key_value_heads", layer.heads, layer.kv_heads);
  const auto head_dim = text.maybe_count("head_dim", kMaxHeadDim);
  if (!head_dim && (hidden_size % layer.heads != 0 || hidden_size / layer.heads > kMaxHeadDim)) {
    text.fail("head_dim", "given, because hidden_size is not a multiple of num_attention_heads");
  }
  layer.head_dim = head_dim.value_or(hidden_size / layer.heads);
}

void read_experts(const ConfigReader& text, std::string_view top_k_key, std::string_view width_key,
                  MoeConfig& moe) {
  moe.experts = text.count({"num_experts", "num_local_experts"}, kMaxExperts);
  moe.top_k = text.count(top_k_key, kMaxExperts);
  if (moe.top_k > moe.experts)
    text.fail(top_k_key, fmt::format("at most the number of experts ({})", moe.experts));
  moe.intermediate = text.count(width_key, kMaxWidth);
}

void require_word(const ConfigReader& text, std::string_view key, std::string_view wanted) {
  const auto word = text.maybe_string(key);
  if (word && *word != wanted) text.unsupported(key, fmt::format("\"{}\"", wanted));
}

std::vector<std::string> read_layer_types(const ConfigReader& text, std::string_view key, uint32_t layers,
                                          bool extra, std::initializer_list<std::string_view> known) {
  auto types = text.maybe_strings(key, 0);
  if (!types) return {};
  if (types->size() < layers || (types->size() > layers && !extra)) {
    text.fail(key, fmt::format("a list of {} entries, one per layer of num_hidden_layers", layers));
  }
  types->resize(layers);
  const nlohmann::json& types_json = *text.find(key);
  for (size_t i = 0; i < types->size(); ++i) {
    if (std::find(known.begin(), known.end(), (*types)[i]) == known.end()) {
      throw Error(ErrorCode::kUnsupported, fmt::format("{}[{}] is {}, must be one of {}", text.where(key), i,
                                                       shown(types_json[i]), fmt::join(known, ", ")));
    }
  }
  return std::move(*types);
}

uint32_t add_rope(ModelConfig& out, const RopeConfig& rope) {
  const auto it = std::find(out.ropes.begin(), out.ropes.end(), rope);
  if (it != out.ropes.end()) return static_cast<uint32_t>(it - out.ropes.begin());
  out.ropes.push_back(rope);
  return static_cast<uint32_t>(out.ropes.size() - 1);
}

Parameter& ParameterWriter::add(std::string_view name, ParameterKind kind, uint32_t rows, uint32_t cols) {
  Parameter& parameter = list_.parameters.emplace_back();
  parameter.name = prefix_ + std::string(name);
  parameter.kind = kind;
  parameter.rows = rows;
  parameter.cols = cols;
  return parameter;
}

Parameter& ParameterWriter::matrix(std::string_view name, uint32_t rows, uint32_t cols) {
  return add(name, ParameterKind::kMatrix, rows, cols);
}

Parameter& ParameterWriter::vector(std::string_view name, uint32_t count) {
  return add(name, ParameterKind::kVector, 1, count);
}

Parameter& ParameterWriter::table(std::string_view name, uint32_t rows, uint32_t cols) {
  return add(name, ParameterKind::kVector, rows, cols);
}

Parameter& ParameterWriter::linear(std::string_view name, uint32_t rows, uint32_t cols, bool bias) {
  if (bias) vector(fmt::format("{}.bias", name), rows);
  Parameter& weight = matrix(name, rows, cols);
  weight.precision = WeightPrecision::kLinear;
  return weight;
}

void ParameterWriter::gated_mlp(std::string_view module, uint32_t width, uint32_t hidden) {
  linear(fmt::format("{}.gate_proj", module), width, hidden, false);
  linear(fmt::format("{}.up_proj", module), width, hidden, false);
  linear(fmt::format("{}.down_proj", module), hidden, width, false);
}

}  // namespace mach
