#include "measure/token_cost.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "arch/model_bytes.h"
#include "arch/parameters.h"
#include "arch/registry.h"
#include "quant/packing.h"

namespace mach::measure {
namespace {

bool is_table(std::string_view name) { return name.starts_with("embed_tokens"); }

// sum over positions p in [depth, depth + tokens) of min((p + 1) / ratio, limit); limit 0: none.
double visible_sum(uint32_t depth, uint32_t tokens, double ratio, double limit) {
  double sum = 0;
  for (uint32_t p = depth; p < depth + tokens; ++p) {
    const double visible = std::floor((p + 1) / ratio);
    sum += limit > 0 ? std::min(visible, limit) : visible;
  }
  return sum;
}

double mixer_macs(const ModelConfig& config, const LayerConfig& layer, uint32_t depth, uint32_t tokens) {
  const double per_key = 2.0 * layer.heads * layer.head_dim;  // score, and weighted sum of values
  switch (layer.mixer) {
    case MixerKind::kFullAttention:
    case MixerKind::kSlidingAttention:
      return per_key * visible_sum(depth, tokens, 1, layer.window);
    case MixerKind::kGatedDelta: {  // S k, the rank-1 update, S q
      const GatedDeltaConfig& d = *config.gated_delta;
      return 3.0 * d.value_heads * d.key_dim * d.value_dim * tokens;
    }
    case MixerKind::kDeepSeekSliding:
      return per_key * visible_sum(depth, tokens, 1, layer.window);
    case MixerKind::kDeepSeekHca:
      return per_key * (visible_sum(depth, tokens, 1, layer.window) +
                        visible_sum(depth, tokens, layer.compress_ratio, 0));
    case MixerKind::kDeepSeekCsa: {
      const DeepSeekConfig& d = *config.deepseek;
      const double entries = visible_sum(depth, tokens, layer.compress_ratio, 0);
      const bool scored = depth + tokens > uint64_t{d.index_topk} * layer.compress_ratio;
      return per_key * (visible_sum(depth, tokens, 1, layer.window) +
                        visible_sum(depth, tokens, layer.compress_ratio, d.index_topk)) +
             (scored ? 1.0 * d.index_heads * d.index_head_dim * entries : 0.0);
    }
  }
  return 0;
}

}  // namespace

double expected_experts(const MoeConfig& moe, uint32_t tokens) noexcept {
  if (moe.experts == 0) return 0;
  const double missed = 1.0 - static_cast<double>(moe.top_k) / moe.experts;
  return moe.experts * (1.0 - std::pow(missed, tokens));
}

PassBytes decode_bytes(const ModelConfig& config, const TensorPlan& plan, const DecodePoint& point,
                       std::span<const ExpertLayerSpec> sidecar) {
  PassBytes bytes;
  const HoldingRule rule(plan, point.float_weights);
  for (const auto& [name, matrix] : plan.matrices) {
    const auto form = rule.form(matrix);
    const bool rounded = form && form->format != matrix.format && !is_table(name);
    const uint64_t held =
        rounded ? ordered_bytes(form->order, form->format, matrix.rows, matrix.cols) : matrix.bytes();
    bytes.resident += is_table(name) ? held / matrix.rows * point.batch : held;
  }
  for (const auto& [name, vector] : plan.vectors) bytes.resident += vector.bytes();
  for (const auto& [name, ids] : plan.integers) bytes.resident += ids.bytes() / ids.rows * point.batch;
  const double experts =
      point.experts_per_layer >= 0 ? point.experts_per_layer : expected_experts(config.moe, point.batch);
  const auto add = [&](uint32_t layer, uint64_t expert_bytes) {
    if (layer >= config.layer_count()) return;  // of a prediction head
    bytes.experts += static_cast<uint64_t>(std::llround(experts * static_cast<double>(expert_bytes)));
  };
  for (const ExpertLayerPlan& layer : plan.experts) add(layer.layer, layer.experts.front().bytes());
  for (const ExpertLayerSpec& layer : sidecar) add(layer.layer, layer.record.size);
  bytes.kv = point.batch * kv_bytes_at(config, point.depth, point.kv_element);
  return bytes;
}

Macs count_macs(const ModelConfig& config, uint32_t depth, uint32_t tokens) {
  const ParameterList list = arch_row(config.family).parameters(config);
  Macs macs;
  double per_token = 0;
  for (const Parameter& parameter : list.parameters) {
    if (parameter.kind != ParameterKind::kMatrix || is_table(parameter.name)) continue;
    const double weights = 1.0 * parameter.rows * parameter.cols;
    (parameter.name == "lm_head" ? macs.head : per_token) += weights;
  }
  per_token += 3.0 * config.moe.intermediate * config.hidden_size * config.moe.top_k *
               static_cast<double>(list.experts.size());
  macs.matrices = per_token * tokens;
  for (const LayerConfig& layer : config.layers) macs.attention += mixer_macs(config, layer, depth, tokens);
  return macs;
}

}  // namespace mach::measure
