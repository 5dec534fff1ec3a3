#include "synth/storage_plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "mach/error.h"

#include "arch/parameters.h"
#include "arch/registry.h"
#include "base/half.h"
#include "quant/codec.h"
#include "quant/encode.h"

namespace mach::synth {
namespace {

constexpr uint32_t kFitTokens = 8192;
constexpr float kTopicLogit = 6.0F;  // what the head gives all tokens of the current topic

constexpr WeightFormat kBF16Format{.codec = CodecId::kBF16, .bits = 16};
constexpr WeightFormat kF32Format{};
constexpr WeightFormat kMxFp4Format{
    .codec = CodecId::kMxFp4, .scale = ScaleType::kE8M0, .bits = 4, .group = 32};
constexpr WeightFormat kFp8Format{.codec = CodecId::kFp8Block,
                                  .scale = ScaleType::kE8M0,
                                  .bits = 8,
                                  .group = kFp8BlockSize,
                                  .block_rows = kFp8BlockSize};

WeightFormat affine(uint8_t bits) {
  return {.codec = CodecId::kAffine, .scale = ScaleType::kBF16, .bits = bits, .group = kAffineGroup};
}

bool ends_with_any(std::string_view name, std::initializer_list<std::string_view> ends) {
  return std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return name.ends_with(end); });
}

// Writes into the residual stream: its first rows are zero.
bool is_output_projection(std::string_view name) {
  return ends_with_any(name, {"o_proj", "out_proj", "down_proj", "o_b_proj", "per_layer_projection"});
}

uint64_t name_seed(uint64_t seed, std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return CounterRandom(seed).at(hash);
}

class StoragePlanner {
 public:
  StoragePlanner(const ModelConfig& config, Quant quant, const Routing& routing, uint64_t seed)
      : config_(config),
        quant_(quant),
        routing_(routing),
        seed_(seed),
        native_(quant == Quant::kMxFp4 &&
                (config.family == Family::kGptOss || config.family == Family::kDeepSeekV4)),
        subspace_(RoutingSubspace::of(config.hidden_size, config.vocab_size)),
        gain_(1.0F / std::sqrt(2.0F * static_cast<float>(config.layer_count()))),
        list_(arch_row(config.family).parameters(config)) {
    if (subspace_.dims == 0) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("hidden_size: {} is too small to hold routing components, must be at least 64",
                              config.hidden_size));
    }
  }

  // Without a pool the routers are not fitted: for who wants the shapes only.
  std::vector<SynthTensor> plan(ThreadPool* pool) && {
    routers_.resize(config_.layer_count());
    if (pool != nullptr) {
      sample_codes();
      fit_routers(*pool);
    }
    for (const Parameter& parameter : list_.parameters) add(parameter);
    for (const ExpertLayer& layer : list_.experts) add_experts(layer);
    return std::move(tensors_);
  }

 private:
  std::string stored(std::string_view name) const {
    return name == "lm_head" ? std::string(name) : "model." + std::string(name);
  }

  WeightFormat format_of(const Parameter& parameter) const {
    if (parameter.precision == WeightPrecision::kFloat) return kF32Format;
    if (quant_ == Quant::kBF16) return kBF16Format;
    if (native_) {
      const bool fp8 =
          config_.family == Family::kDeepSeekV4 && parameter.precision == WeightPrecision::kLinear;
      return fp8 ? kFp8Format : kBF16Format;
    }
    WeightFormat format = expert_format();
    if (is_routing_matrix(parameter.name)) format = affine(8);
    return parameter.cols % format.group == 0 ? format : kBF16Format;
  }

  WeightFormat expert_format() const {
    switch (quant_) {
      case Quant::kAffine4:
        return affine(4);
      case Quant::kAffine8:
        return affine(8);
      case Quant::kMxFp4:
        return kMxFp4Format;
      case Quant::kBF16:
        return kBF16Format;
    }
    return kBF16Format;
  }

  // ---- routers --------------------------------------------------------------------------------------------------------

  void sample_codes() {
    const TokenTable table = embedding();
    const CounterRandom random(name_seed(seed_, "sample"));
    std::vector<uint64_t> tokens(kFitTokens);
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = random.below(config_.vocab_size, i);
    codes_ = routing_codes(table, tokens);
  }

  CounterRandom layer_random(uint32_t layer, std::string_view use) const {
    return CounterRandom(name_seed(seed_, fmt::format("{} {}", use, layer)));
  }

  RouterTarget target(uint32_t layer) const {
    return random_target(config_.moe.experts, config_.moe.top_k, routing_.zipf,
                         layer_random(layer, "popularity"));
  }

  void fit_routers(ThreadPool& pool) {
    pool.run(routers_.size(), [&](size_t i, size_t) {
      const auto layer = static_cast<uint32_t>(i);
      if (!config_.layers[i].has_moe() || config_.layers[i].hash_routed) return;
      routers_[i] = std::make_shared<std::vector<float>>(
          fit_router(target(layer), subspace_, codes_, layer_random(layer, "router")));
    });
  }

  // ---- matrices -------------------------------------------------------------------------------------------------------

  MatrixRecipe recipe(const Parameter& parameter) const {
    MatrixRecipe r{
        .format = format_of(parameter), .cols = parameter.cols, .seed = name_seed(seed_, parameter.name)};
    r.deviation = 1.0F / std::sqrt(static_cast<float>(parameter.cols));
    if (is_output_projection(parameter.name)) {
      r.deviation *= gain_;
      r.zero_rows = subspace_.dims;
    }
    if (parameter.precision == WeightPrecision::kFloat)
      r.deviation *= 0.3F;  // hyper-connections: nearly even mixing
    return r;
  }

  const Parameter& parameter(std::string_view name) const {
    return *std::find_if(list_.parameters.begin(), list_.parameters.end(),
                         [&](const Parameter& p) { return p.name == name; });
  }

  // Of size 1 where the model does not scale it up itself.
  TokenTable embedding() const {
    TokenTable table{.matrix = recipe(parameter("embed_tokens")),
                     .subspace = subspace_,
                     .topic_seed = name_seed(seed_, "topics")};
    table.matrix.deviation = config_.gemma ? 1.0F / config_.gemma->embedding_scale : 1.0F;
    table.routing_deviation = table.matrix.deviation;
    return table;
  }

  // Logits of size 1, and kTopicLogit for tokens of the current topic.
  TokenTable head() const {
    TokenTable table = embedding();
    table.matrix = recipe(parameter("lm_head"));
    table.routing_deviation = kTopicLogit * std::sqrt(2.0F) / static_cast<float>(subspace_.topic);
    return table;
  }

  void add(const Parameter& parameter) {
    if (parameter.name == "lm_head") {
      if (!config_.tie_word_embeddings) add_planes(parameter, head());
      return;
    }
    if (parameter.name == "embed_tokens") return add_planes(parameter, embedding());
    if (parameter.kind == ParameterKind::kVector) return add_vector(parameter);
    if (parameter.kind == ParameterKind::kIntegers) return add_token_experts(parameter);
    const std::string module = stored(parameter.name);
    const MatrixRecipe r = recipe(parameter);
    if (is_router(parameter.name)) return add_router(parameter, r.format);
    if (parameter.precision == WeightPrecision::kFloat) {
      add_plane(module, DType::kF32, {parameter.rows, parameter.cols}, r, random_codes(r));
    } else {
      add_matrix(module, {}, parameter.rows, r);
    }
  }

  static bool is_router(std::string_view name) {
    return ends_with_any(name, {"mlp.gate", "mlp.router", "router.proj"});
  }

  // The stored planes of a matrix, or of `stack` of them.
  void add_matrix(const std::string& module, std::optional<uint64_t> stack, uint32_t rows,
                  const MatrixRecipe& r) {
    add_planes(module, stack, rows, r, random_codes(r), constant_scales(r), constant_biases(r));
  }

  void add_planes(const Parameter& parameter, const TokenTable& table) {
    add_planes(stored(parameter.name), {}, parameter.rows, table.matrix, token_codes(table),
               token_scales(table), token_biases(table));
  }

  void add_planes(const std::string& module, std::optional<uint64_t> stack, uint32_t rows,
                  const MatrixRecipe& r, RowFill codes, RowFill scales, RowFill biases) {
    const WeightFormat& format = r.format;
    const auto shape = [&](uint64_t lines, uint64_t cols) {
      return stack ? Shape{*stack, lines, cols} : Shape{lines, cols};
    };
    check_format(format, r.cols, module);
    const Shape groups = shape(scale_rows(format, rows), scales_per_row(format, r.cols));
    const std::string weight = module + ".weight";
    switch (format.codec) {
      case CodecId::kAffine:
        add_plane(weight, DType::kU32, shape(rows, uint64_t{r.cols} * format.bits / 32), r, std::move(codes));
        add_scales(module + ".scales", DType::kBF16, groups, r, std::move(scales));
        add_scales(module + ".biases", DType::kBF16, groups, r, std::move(biases));
        return;
      case CodecId::kMxFp4:
        if (native_) {
          add_plane(weight, DType::kI8, shape(rows, r.cols / 2), r, std::move(codes));
          add_scales(module + ".scale", DType::kF8E8M0, groups, r, std::move(scales));
          return;
        }
        add_plane(weight, DType::kU32, shape(rows, r.cols / 8), r, std::move(codes));
        add_scales(module + ".scales", DType::kU8, groups, r, std::move(scales));
        return;
      case CodecId::kFp8Block:
        add_plane(weight, DType::kF8E4M3, shape(rows, r.cols), r, std::move(codes));
        add_scales(module + ".scale", DType::kF8E8M0, groups, r, std::move(scales));
        return;
      default:
        add_plane(weight, DType::kBF16, shape(rows, r.cols), r, std::move(codes));
    }
  }

  void add_plane(std::string name, DType dtype, const Shape& shape, const MatrixRecipe& r, RowFill fill) {
    push(std::move(name), dtype, shape, row_bytes(r.format, r.cols), std::move(fill));
  }
  void add_scales(std::string name, DType dtype, const Shape& shape, const MatrixRecipe& r, RowFill fill) {
    push(std::move(name), dtype, shape, scale_row_bytes(r.format, r.cols), std::move(fill));
  }
  void push(std::string name, DType dtype, const Shape& shape, uint64_t row_size, RowFill fill) {
    const uint64_t bytes = shape.elements().value_or(0) * dtype_row(dtype).bits / 8;
    tensors_.push_back({{std::move(name), dtype, shape}, row_size, bytes / row_size, std::move(fill)});
  }

  // Few and wanted exactly: encoded row by row from real values.
  void add_router(const Parameter& parameter, const WeightFormat& format) {
    const uint32_t layer = layer_of(parameter.name);
    const auto rows = routers_.at(layer);
    MatrixRecipe r = recipe(parameter);
    if (!rows) return add_matrix(stored(parameter.name), {}, parameter.rows, r);  // hash-routed: only weighs
    enum class Part { kCodes, kScales, kBiases };
    const auto part = [format, rows, dims = subspace_.dims, cols = parameter.cols](Part wanted) -> RowFill {
      return [=](uint64_t first, std::span<std::byte> out) {
        std::vector<float> values(cols);
        std::vector<std::byte> codes(row_bytes(format, cols)), scales(scale_row_bytes(format, cols)),
            biases(scales.size());
        const std::vector<std::byte>& chosen = wanted == Part::kCodes    ? codes
                                               : wanted == Part::kScales ? scales
                                                                         : biases;
        for (uint64_t row = first; !out.empty(); ++row, out = out.subspan(chosen.size())) {
          std::copy_n(&(*rows)[row * dims], dims, values.begin());
          encode_block(format, values, cols, {codes.data(), scales.data(), biases.data()});
          std::copy(chosen.begin(), chosen.end(), out.begin());
        }
      };
    };
    add_planes(stored(parameter.name), {}, parameter.rows, r, part(Part::kCodes), part(Part::kScales),
               part(Part::kBiases));
  }

  static uint32_t layer_of(std::string_view name) {  // "layers.12.mlp.gate"
    const auto digits = name.substr(name.find('.') + 1);
    return static_cast<uint32_t>(std::stoul(std::string(digits.substr(0, digits.find('.')))));
  }

  void add_token_experts(const Parameter& parameter) {
    const uint32_t layer = layer_of(parameter.name);
    auto wanted = target(layer);
    const TokenTable table = embedding();
    push(stored(parameter.name), DType::kI64, {parameter.rows, parameter.cols}, 8 * parameter.cols,
         [wanted, table, random = layer_random(layer, "token")](uint64_t first, std::span<std::byte> out) {
           std::vector<uint32_t> chosen(wanted.top_k);
           for (uint64_t token = first; !out.empty(); ++token) {
             choose_by_token(wanted, topic_of(table.subspace, table.topic_seed, token), token, random,
                             chosen);
             for (const int64_t id : chosen) {
               std::memcpy(out.data(), &id, sizeof id);
               out = out.subspan(sizeof id);
             }
           }
         });
  }

  // ---- vectors --------------------------------------------------------------------------------------------------------

  // Stored values of a vector: uniform in [low, high].
  struct Range {
    float low, high;
  };
  Range range_of(const Parameter& parameter) const {
    const std::string_view name = parameter.name;
    if (parameter.zero_centred) return {0, 0};
    if (config_.gemma) {
      if (ends_with_any(name, {"post_attention_layernorm", "post_feedforward_layernorm"}))
        return {gain_, gain_};
      if (name.ends_with("self_attn.q_norm")) {  // scores are not divided by sqrt(head_dim)
        const float root = 1.0F / std::sqrt(static_cast<float>(parameter.cols));
        return {root, root};
      }
    }
    if (name.ends_with("A_log")) return {0.0F, 2.7F};      // decay rates 1 to 15
    if (name.ends_with("dt_bias")) return {-5.0F, -3.0F};  // times about 0.02
    if (name.ends_with("conv1d")) return {-0.5F, 0.5F};
    if (name.ends_with("position_bias")) return {-0.5F, 0.5F};
    if (ends_with_any(name, {".bias", "_bias", "_base", ".base", "sinks"})) return {0, 0};
    return {1, 1};  // norms and scales
  }

  void add_vector(const Parameter& parameter) {
    const bool f32 = parameter.precision == WeightPrecision::kFloat;
    const bool module =
        parameter.name.find("norm") != std::string::npos || parameter.name.ends_with("conv1d");
    const uint64_t count = uint64_t{parameter.rows} * parameter.cols;
    const Range range = range_of(parameter);
    const bool tied_norm = parameter.name == "norm" && config_.tie_word_embeddings;
    Shape shape = parameter.rows > 1 ? Shape{parameter.rows, parameter.cols} : Shape{parameter.cols};
    if (parameter.name.ends_with("conv1d")) shape = {parameter.rows, 1, parameter.cols};
    push(stored(parameter.name) + (module ? ".weight" : ""), f32 ? DType::kF32 : DType::kBF16, shape,
         count * (f32 ? 4 : 2),
         [=, subspace = subspace_, random = CounterRandom(name_seed(seed_, parameter.name)),
          head = tied_head_weight()](uint64_t, std::span<std::byte> out) {
           for (uint64_t i = 0; i < count; ++i) {
             const float unit = static_cast<float>(random.at(i) >> 40) * 0x1p-24F;
             float value = range.low + (range.high - range.low) * unit;
             if (tied_norm) {
               if ((random.at(i) & 1U) != 0) value = -value;
               if (i < subspace.constant)
                 value = 0;
               else if (i < subspace.constant + subspace.topic)
                 value = head;
             }
             const uint16_t half = f32_to_bf16(value);
             f32 ? std::memcpy(&out[4 * i], &value, 4) : std::memcpy(&out[2 * i], &half, 2);
           }
         });
  }

  // A tied head would mostly repeat the current token. The final norm's weights have random signs against that, and this
  // weight on topic components for the head's preference of the current topic.
  float tied_head_weight() const {
    const float scale = config_.gemma ? config_.gemma->embedding_scale : 1.0F;
    return kTopicLogit * std::sqrt(2.0F) * scale / static_cast<float>(subspace_.topic);
  }

  // ---- routed experts -------------------------------------------------------------------------------------------------

  void add_experts(const ExpertLayer& layer) {
    const std::string base = "model." + layer.bases.front();
    if (native_ && config_.family == Family::kGptOss) return add_block_experts(base);
    const std::string stack = base + (config_.family == Family::kGemma4   ? ".experts.switch_glu"
                                      : config_.family == Family::kGptOss ? ".experts"
                                                                          : ".switch_mlp");
    const uint32_t hidden = config_.hidden_size;
    const uint32_t width = config_.moe.intermediate;
    add_stack(stack + ".gate_proj", width, hidden);
    add_stack(stack + ".up_proj", width, hidden);
    add_stack(stack + ".down_proj", hidden, width);
    if (!config_.moe.expert_bias) return;
    add_zeros(stack + ".gate_proj.bias", {config_.moe.experts, width});
    add_zeros(stack + ".up_proj.bias", {config_.moe.experts, width});
    add_zeros(stack + ".down_proj.bias", {config_.moe.experts, hidden});
  }

  MatrixRecipe expert_recipe(const std::string& name, uint32_t rows, uint32_t cols) const {
    const WeightFormat format = expert_format();
    MatrixRecipe r{.format = format, .cols = cols, .seed = name_seed(seed_, name)};
    r.deviation = 1.0F / std::sqrt(static_cast<float>(cols));
    r.matrix_rows = rows;
    if (is_output_projection(name)) {
      r.deviation *= gain_;
      r.zero_rows = subspace_.dims;
    }
    return r;
  }

  void add_stack(const std::string& name, uint32_t rows, uint32_t cols) {
    add_matrix(name, config_.moe.experts, rows, expert_recipe(name, rows, cols));
  }

  void add_block_experts(const std::string& base) {
    const uint32_t hidden = config_.hidden_size;
    const uint32_t width = config_.moe.intermediate;
    const auto blocks = [&](const std::string& name, uint32_t rows, uint32_t cols) {
      const MatrixRecipe r = expert_recipe(name, rows, cols);
      check_format(r.format, cols, name);
      add_plane(name + "_blocks", DType::kU8, {config_.moe.experts, rows, cols / 32, 16}, r, random_codes(r));
      add_scales(name + "_scales", DType::kU8, {config_.moe.experts, rows, cols / 32}, r, constant_scales(r));
    };
    blocks(base + ".experts.gate_up_proj", 2 * width, hidden);
    blocks(base + ".experts.down_proj", hidden, width);
    add_zeros(base + ".experts.gate_up_proj_bias", {config_.moe.experts, uint64_t{2} * width});
    add_zeros(base + ".experts.down_proj_bias", {config_.moe.experts, hidden});
  }

  void add_zeros(std::string name, const Shape& shape) {
    push(std::move(name), DType::kBF16, shape, 2 * shape[1],
         [](uint64_t, std::span<std::byte> out) { std::fill(out.begin(), out.end(), std::byte{0}); });
  }

  const ModelConfig& config_;
  const Quant quant_;
  const Routing routing_;
  const uint64_t seed_;
  const bool native_;  // the family's own 4-bit form instead of MLX's
  const RoutingSubspace subspace_;
  const float gain_;  // of what a layer adds to the residual stream
  const ParameterList list_;
  std::vector<float> codes_;                                  // of sampled tokens
  std::vector<std::shared_ptr<std::vector<float>>> routers_;  // by layer; null without scored routing
  std::vector<SynthTensor> tensors_;
};

}  // namespace

bool is_routing_matrix(std::string_view name) noexcept {
  return name.ends_with("mlp.gate") || name.ends_with("mlp.router") || name.ends_with("router.proj") ||
         name.ends_with("shared_expert_gate");
}

std::vector<SynthTensor> plan_storage(const ModelConfig& config, Quant quant, const Routing& routing,
                                      uint64_t seed, ThreadPool& pool) {
  return StoragePlanner(config, quant, routing, seed).plan(&pool);
}

std::vector<TensorSpec> storage_specs(const ModelConfig& config, Quant quant) {
  std::vector<TensorSpec> specs;
  for (SynthTensor& tensor : StoragePlanner(config, quant, {}, 0).plan(nullptr)) {
    specs.push_back(std::move(tensor.spec));
  }
  return specs;
}

}  // namespace mach::synth
