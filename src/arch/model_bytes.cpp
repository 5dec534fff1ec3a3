#include "arch/model_bytes.h"

#include <algorithm>

#include "arch/parameters.h"
#include "arch/quant_reader.h"
#include "arch/registry.h"
#include "base/checked_math.h"
#include "quant/codec.h"

namespace mach {
namespace {

constexpr uint32_t kStateBytes = 4;  // fp32

constexpr WeightFormat kBF16Format{.codec = CodecId::kBF16, .bits = 16};

uint64_t expert_parameters(const ModelConfig& config) {
  const uint64_t width = config.moe.intermediate;
  const uint64_t biases = config.moe.expert_bias ? 2 * width + config.hidden_size : 0;
  return 3 * width * config.hidden_size + biases;
}

bool is_lookup_table(const Parameter& parameter) { return parameter.name.starts_with("embed_tokens"); }

uint64_t expert_bytes(const ModelConfig& config, const WeightFormat& format) {
  const uint32_t width = config.moe.intermediate;
  const uint32_t hidden = config.hidden_size;
  const uint64_t biases = config.moe.expert_bias ? (uint64_t{2} * width + hidden) * 2 : 0;
  return 2 * matrix_bytes(format, width, hidden) + matrix_bytes(format, hidden, width) + biases;
}

void add_experts(const ModelConfig& config, uint32_t layer, uint64_t one_expert, ModelBytes& bytes) {
  bytes.expert.push_back(one_expert);
  bytes.routed += one_expert * config.experts_of(layer);
  bytes.token_working_set += one_expert * config.moe.top_k;
}

WeightFormat mlx_format(const MlxQuant& quant) {
  const ScaleType scale = quant.codec == CodecId::kAffine  ? ScaleType::kBF16
                          : quant.codec == CodecId::kNvFp4 ? ScaleType::kE4M3
                                                           : ScaleType::kE8M0;
  return {.codec = quant.codec, .scale = scale, .bits = quant.bits, .group = quant.group};
}

WeightFormat fp8_format(const QuantConfig& quant) {
  return {.codec = CodecId::kFp8Block,
          .scale = quant.e8m0_scales ? ScaleType::kE8M0 : ScaleType::kF32,
          .bits = 8,
          .group = static_cast<uint16_t>(quant.block_cols),
          .block_rows = static_cast<uint16_t>(quant.block_rows)};
}

// Of a matrix outside the routed experts. mlx-lm quantises every module whose inputs fill its groups.
WeightFormat announced_format(const ModelConfig& config, const Parameter& parameter) {
  const QuantConfig& quant = config.quant;
  if (parameter.precision == WeightPrecision::kFloat) return {};
  if (quant.method == QuantMethod::kMlx) {
    const auto module = quant.module("model." + parameter.name);
    const bool fits = module && parameter.cols % module->group == 0;
    return fits ? mlx_format(*module) : kBF16Format;
  }
  const bool fp8 = quant.method == QuantMethod::kFp8 && parameter.precision == WeightPrecision::kLinear;
  return fp8 ? fp8_format(quant) : kBF16Format;
}

// Memory of one layer of one sequence.
struct LayerKv {
  uint64_t row = 0;     // bytes that a token adds while nothing is dropped
  uint64_t entry = 0;   // bytes of a compressed entry,
  uint64_t ratio = 1;   // one per so many tokens
  uint64_t window = 0;  // rows that are kept at most; 0 = all
  uint64_t state = 0;
};

uint64_t row_bytes(KvElement element, uint64_t n) {
  return kv_row_bytes(fitting_kv_element(element, static_cast<uint32_t>(n)), static_cast<uint32_t>(n));
}
// Of numbers that 8 bits do not reach.
uint64_t float_bytes(KvElement element) { return element == KvElement::kF32 ? 4 : 2; }

LayerKv deepseek_kv(const DeepSeekConfig& deepseek, const LayerConfig& layer, KvElement element) {
  LayerKv kv;
  const uint64_t dim = layer.head_dim;
  kv.row = row_bytes(element, dim);  // K and V are the same row
  kv.window = layer.window;
  if (layer.mixer == MixerKind::kDeepSeekSliding) return kv;
  kv.ratio = layer.compress_ratio;
  // Content and gate of the tokens in the open window; with overlap, also halves of the window before it.
  if (layer.mixer == MixerKind::kDeepSeekHca) {
    kv.entry = row_bytes(element, dim);
    kv.state = (kv.ratio - 1) * 2 * dim * kStateBytes;
    return kv;
  }
  const uint64_t width = dim + deepseek.index_head_dim;
  kv.entry = row_bytes(element, dim) + deepseek.index_head_dim * float_bytes(element);
  kv.state = ((kv.ratio - 1) * 4 * width + kv.ratio * 2 * width) * kStateBytes;
  return kv;
}

LayerKv layer_kv(const ModelConfig& config, const LayerConfig& layer, KvElement element) {
  LayerKv kv;
  if (layer.kv_source) return kv;
  switch (layer.mixer) {
    case MixerKind::kFullAttention:
    case MixerKind::kSlidingAttention:
      kv.row = uint64_t{2} * layer.kv_heads * row_bytes(element, layer.head_dim);
      kv.window = layer.window;
      return kv;
    case MixerKind::kGatedDelta: {
      const GatedDeltaConfig& delta = *config.gated_delta;
      kv.state = uint64_t{delta.value_heads} * delta.key_dim * delta.value_dim * kStateBytes +
                 uint64_t{delta.conv_channels()} * (delta.conv_taps - 1) * float_bytes(element);
      return kv;
    }
    case MixerKind::kDeepSeekSliding:
    case MixerKind::kDeepSeekCsa:
    case MixerKind::kDeepSeekHca:
      return deepseek_kv(*config.deepseek, layer, element);
  }
  return kv;
}

}  // namespace

ParameterCounts count_parameters(const ModelConfig& config) {
  const ParameterList list = arch_row(config.family).parameters(config);
  ParameterCounts counts;
  for (const ExpertLayer& layer : list.experts) {
    counts.routed += expert_parameters(config) * config.experts_of(layer.layer);
  }
  counts.total = counts.routed;
  for (const Parameter& parameter : list.parameters) {
    if (parameter.kind == ParameterKind::kIntegers) continue;
    if (config.tie_word_embeddings && parameter.name == "lm_head") continue;
    const uint64_t weights = uint64_t{parameter.rows} * parameter.cols;
    counts.total += weights;
    const bool is_head = config.tie_word_embeddings && parameter.name == "embed_tokens";
    if (is_lookup_table(parameter) && !is_head) counts.embedding += weights;
  }
  const uint64_t chosen = expert_parameters(config) * config.moe.top_k * list.experts.size();
  counts.active = counts.total - counts.routed - counts.embedding + chosen;
  return counts;
}

ModelBytes model_bytes(const ModelConfig& config, const TensorPlan& plan) {
  std::vector<bool> resident(plan.tensors.size());
  const auto mark = [&](const PlaneRef& plane) { resident[plane.tensor] = true; };
  for (const auto& [name, matrix] : plan.matrices) {
    mark(matrix.codes);
    if (matrix.scales) mark(*matrix.scales);
    if (matrix.biases) mark(*matrix.biases);
    if (matrix.global_scale) resident[matrix.global_scale->tensor] = true;
  }
  for (const auto& [name, vector] : plan.vectors) resident[vector.tensor] = true;
  for (const auto& [name, integers] : plan.integers) resident[integers.tensor] = true;

  ModelBytes bytes;
  for (size_t i = 0; i < resident.size(); ++i) {
    if (resident[i]) bytes.resident += plan.tensors[i].size;
  }
  for (const ExpertLayerPlan& layer : plan.experts)
    add_experts(config, layer.layer, layer.experts.front().bytes(), bytes);
  return bytes;
}

std::optional<WeightFormat> announced_expert_format(const ModelConfig& config) {
  const QuantConfig& quant = config.quant;
  if (quant.gguf_experts) return std::nullopt;
  constexpr WeightFormat kMxFp4{.codec = CodecId::kMxFp4, .scale = ScaleType::kE8M0, .bits = 4, .group = 32};
  switch (quant.method) {
    case QuantMethod::kNone:
      return kBF16Format;
    case QuantMethod::kMlx:
      return mlx_format(quant.body);
    case QuantMethod::kMxFp4:
      return kMxFp4;
    case QuantMethod::kFp8:
      return quant.fp4_experts ? kMxFp4 : fp8_format(quant);
    case QuantMethod::kCompressedTensors:
    case QuantMethod::kModelOpt:
      return WeightFormat{.codec = CodecId::kNvFp4, .scale = ScaleType::kE4M3, .bits = 4, .group = 16};
  }
  return std::nullopt;
}

std::optional<ModelBytes> estimate_model_bytes(const ModelConfig& config) {
  const ParameterList list = arch_row(config.family).parameters(config);
  const auto expert_format = announced_expert_format(config);
  if (!expert_format && !list.experts.empty()) return std::nullopt;
  ModelBytes bytes;
  for (const Parameter& parameter : list.parameters) {
    if (config.tie_word_embeddings && parameter.name == "lm_head") continue;
    switch (parameter.kind) {
      case ParameterKind::kMatrix:
        bytes.resident += matrix_bytes(announced_format(config, parameter), parameter.rows, parameter.cols);
        break;
      case ParameterKind::kVector:
        bytes.resident += uint64_t{parameter.rows} * parameter.cols *
                          (parameter.precision == WeightPrecision::kFloat ? 4 : 2);
        break;
      case ParameterKind::kIntegers:
        bytes.resident += uint64_t{8} * parameter.rows * parameter.cols;
        break;
    }
  }
  for (const ExpertLayer& layer : list.experts)
    add_experts(config, layer.layer, expert_bytes(config, *expert_format), bytes);
  return bytes;
}

KvBytes kv_bytes(const ModelConfig& config, KvElement element) {
  KvBytes sum;
  for (const LayerConfig& layer : config.layers) {
    const LayerKv kv = layer_kv(config, layer, element);
    (kv.window > 0 ? sum.windows : sum.per_token) += kv.row * std::max<uint64_t>(kv.window, 1);
    sum.per_token += ceil_div(kv.entry, kv.ratio);
    sum.state += kv.state;
  }
  return sum;
}

uint64_t kv_bytes_at(const ModelConfig& config, uint32_t context, KvElement element) {
  uint64_t sum = 0;
  for (const LayerConfig& layer : config.layers) {
    const LayerKv kv = layer_kv(config, layer, element);
    const uint64_t rows = kv.window > 0 ? std::min<uint64_t>(kv.window, context) : context;
    sum += rows * kv.row + context / kv.ratio * kv.entry + kv.state;
  }
  return sum;
}

}  // namespace mach
