#include "synth/synth_config.h"

#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "arch/parameters.h"
#include "arch/registry.h"
#include "synth/storage_plan.h"

namespace mach::synth {
namespace {

using Json = nlohmann::ordered_json;

constexpr QuantRow kQuants[] = {{Quant::kAffine4, "affine4"},
                                {Quant::kAffine8, "affine8"},
                                {Quant::kMxFp4, "mxfp4"},
                                {Quant::kBF16, "bf16"}};

// Lists with an entry per layer (or one more, for a prediction head).
constexpr std::array kLayerLists = {"layer_types", "compress_ratios", "mlp_layer_types"};

void keep_layers(Json& text, uint32_t layers) {
  const uint32_t all = text.value("num_hidden_layers", 0U);
  if (layers == 0) layers = all;
  if (layers > all) {
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("layers: {} is more than the {} of the model", layers, all));
  }
  text["num_hidden_layers"] = layers;
  for (const char* key : kLayerLists) {
    if (!text.contains(key) || !text[key].is_array()) continue;
    auto& list = text[key];
    while (list.size() > layers) list.erase(list.size() - 1);
  }
  for (const char* key : {"num_hash_layers", "max_window_layers"}) {
    if (text.contains(key) && text[key].is_number()) text[key] = std::min(text[key].get<uint32_t>(), layers);
  }
}

Json mlx_block(Quant quant) {
  if (quant == Quant::kMxFp4) return {{"group_size", 32}, {"bits", 4}, {"mode", "mxfp4"}};
  return {{"group_size", 64}, {"bits", quant == Quant::kAffine8 ? 8 : 4}, {"mode", "affine"}};
}

}  // namespace

std::span<const QuantRow> quant_rows() noexcept { return kQuants; }

std::string_view quant_name(Quant quant) noexcept { return kQuants[static_cast<size_t>(quant)].name; }

Quant find_quant(std::string_view name) {
  for (const QuantRow& row : kQuants) {
    if (row.name == name) return row.quant;
  }
  throw Error(ErrorCode::kInvalidRequest,
              fmt::format("quant: \"{}\" is not known, must be affine4, affine8, mxfp4 or bf16", name));
}

Json synthetic_config(const Json& original, uint32_t layers, Quant quant) {
  Json root = original;
  Json& text = root.contains("text_config") ? root["text_config"] : root;
  keep_layers(text, layers);
  const Json upstream = root.value("quantization_config", Json());
  root.erase("quantization_config");
  root.erase("quantization");
  const Json expert_dtype = root.value("expert_dtype", Json());
  root.erase("expert_dtype");
  root["torch_dtype"] = "bfloat16";

  const ModelConfig dense = parse_model_config(nlohmann::json(root), "config.json");
  if (quant == Quant::kBF16) return root;
  if (quant == Quant::kMxFp4 && dense.family == Family::kGptOss) {
    root["quantization_config"] = upstream.is_object() ? upstream : Json{{"quant_method", "mxfp4"}};
    return root;
  }
  if (quant == Quant::kMxFp4 && dense.family == Family::kDeepSeekV4) {
    root["quantization_config"] = {{"quant_method", "fp8"},
                                   {"fmt", "e4m3"},
                                   {"scale_fmt", "ue8m0"},
                                   {"activation_scheme", "dynamic"},
                                   {"weight_block_size", {kFp8BlockSize, kFp8BlockSize}}};
    root["expert_dtype"] = "fp4";
    return root;
  }
  Json block = mlx_block(quant);
  if (quant != Quant::kAffine8) {
    for (const Parameter& parameter : arch_row(dense.family).parameters(dense).parameters) {
      if (is_routing_matrix(parameter.name) && parameter.cols % kAffineGroup == 0)
        block["model." + parameter.name] = {{"group_size", kAffineGroup}, {"bits", 8}, {"mode", "affine"}};
    }
  }
  root["quantization"] = block;
  root["quantization_config"] = block;
  return root;
}

}  // namespace mach::synth
