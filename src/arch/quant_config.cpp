#include "arch/quant_config.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "arch/quant_reader.h"

namespace mach {
namespace {

using Json = nlohmann::json;

struct ModeRow {
  std::string_view name;
  MlxQuant defaults;
  bool free;  // bits and group may differ from the defaults
};
constexpr ModeRow kModes[] = {
    {"affine", {CodecId::kAffine, 4, 64}, true},
    {"mxfp4", {CodecId::kMxFp4, 4, 32}, false},
    {"mxfp8", {CodecId::kMxFp8, 8, 32}, false},
    {"nvfp4", {CodecId::kNvFp4, 4, 16}, false},
};

// Keys of the `quantization` object that are not module paths.
constexpr std::array<std::string_view, 6> kBodyKeys = {"group_size",   "bits",           "mode",
                                                       "quant_method", "quantize_input", "expert_format"};

struct MethodRow {
  std::string_view name;
  QuantMethod method;
};
constexpr MethodRow kMethods[] = {
    {"mxfp4", QuantMethod::kMxFp4},
    {"fp8", QuantMethod::kFp8},
    {"compressed-tensors", QuantMethod::kCompressedTensors},
    {"modelopt", QuantMethod::kModelOpt},
};

const ModeRow& read_mode(const ConfigReader& block) {
  const std::string mode = block.maybe_string("mode").value_or("affine");
  for (const ModeRow& row : kModes) {
    if (row.name == mode) return row;
  }
  block.unsupported("mode", "affine, mxfp4, mxfp8 or nvfp4");
}

MlxQuant read_parameters(const ConfigReader& block) {
  const ModeRow& mode = read_mode(block);
  MlxQuant quant = mode.defaults;
  quant.bits = static_cast<uint8_t>(block.count_or("bits", quant.bits, 32));
  quant.group = static_cast<uint16_t>(block.count_or("group_size", quant.group, 4096));
  if (!mode.free) {
    if (quant.bits != mode.defaults.bits) {
      block.unsupported("bits", fmt::format("{} in mode {}", mode.defaults.bits, mode.name));
    }
    if (quant.group != mode.defaults.group) {
      block.unsupported("group_size", fmt::format("{} in mode {}", mode.defaults.group, mode.name));
    }
    return quant;
  }
  if (quant.bits < 2 || quant.bits > 8 || quant.bits == 7) block.unsupported("bits", "2, 3, 4, 5, 6 or 8");
  if (quant.group != 32 && quant.group != 64 && quant.group != 128) {
    block.unsupported("group_size", "32, 64 or 128");
  }
  return quant;
}

bool is_module_path(const std::string& key, const Json& value) {
  if (std::find(kBodyKeys.begin(), kBodyKeys.end(), key) != kBodyKeys.end()) return false;
  return value.is_object() || value.is_boolean() || key.find('.') != std::string::npos;
}

QuantConfig read_mlx(const ConfigReader& block) {
  QuantConfig quant;
  quant.method = QuantMethod::kMlx;
  quant.body = read_parameters(block);
  if (const auto format = block.maybe_string("expert_format")) {
    if (*format != "gguf") block.unsupported("expert_format", "\"gguf\"");
    quant.gguf_experts = true;
  }
  for (const auto& [key, value] : block.json().items()) {
    if (!is_module_path(key, value)) continue;
    if (value.is_boolean()) {
      quant.overrides[key] = value.get<bool>() ? std::optional(quant.body) : std::nullopt;
    } else if (const auto settings = block.maybe_object(key)) {
      quant.overrides[key] = read_parameters(*settings);
    }
  }
  return quant;
}

void read_fp8_blocks(const ConfigReader& block, QuantConfig& quant) {
  if (const auto format = block.maybe_string("fmt"); format && *format != "e4m3")
    block.unsupported("fmt", "\"e4m3\"");
  quant.e8m0_scales = block.maybe_string("scale_fmt") == "ue8m0";
  if (!block.json().contains("weight_block_size")) {
    quant.block_rows = quant.block_cols = kDefaultFp8Block;
    return;
  }
  const auto sizes = block.maybe_counts("weight_block_size", 2, 32768, 1);  // null: one scale per tensor
  if (!sizes) return;
  if (sizes->size() != 2) block.fail("weight_block_size", "two numbers, rows and columns of a block");
  quant.block_rows = (*sizes)[0];
  quant.block_cols = (*sizes)[1];
}

QuantConfig read_hugging_face(const ConfigReader& block, const ConfigReader& root) {
  const std::string name = block.maybe_string("quant_method").value_or("");
  const auto* row = std::find_if(std::begin(kMethods), std::end(kMethods),
                                 [&](const MethodRow& candidate) { return candidate.name == name; });
  if (row == std::end(kMethods)) {
    block.unsupported("quant_method",
                      "fp8, mxfp4, modelopt or compressed-tensors (or an MLX quantization block)");
  }
  QuantConfig quant;
  quant.method = row->method;
  if (quant.method == QuantMethod::kFp8) {
    read_fp8_blocks(block, quant);
    if (const auto experts = root.maybe_string("expert_dtype")) {
      if (*experts != "fp4" && *experts != "fp8") root.unsupported("expert_dtype", "\"fp4\" or \"fp8\"");
      quant.fp4_experts = *experts == "fp4";
    }
  }
  if (quant.method == QuantMethod::kCompressedTensors) {
    const auto format = block.maybe_string("format");
    if (format && *format != "nvfp4-pack-quantized" && *format != "float-quantized") {
      block.unsupported("format", "nvfp4-pack-quantized or float-quantized");
    }
  }
  return quant;
}

}  // namespace

QuantConfig read_quant_config(const ConfigReader& text, const ConfigReader& root) {
  for (const ConfigReader* level : {&root, &text}) {
    if (const auto block = level->maybe_object("quantization")) return read_mlx(*block);
  }
  for (const ConfigReader* level : {&root, &text}) {
    const auto block = level->maybe_object("quantization_config");
    if (!block) continue;
    // mlx-lm writes its own object under this name too; that one has no quant_method.
    const bool mlx =
        !block->has("quant_method") && (block->has("bits") || block->has("group_size") || block->has("mode"));
    return mlx ? read_mlx(*block) : read_hugging_face(*block, root);
  }
  return {};
}

namespace {

// The path itself, then with and without the prefix of multimodal repositories.
template <class Map>
typename Map::const_iterator find_module(const Map& map, std::string_view path) {
  constexpr std::string_view kPrefix = "language_model.";
  if (const auto it = map.find(path); it != map.end()) return it;
  if (path.starts_with(kPrefix)) return map.find(path.substr(kPrefix.size()));
  return map.find(fmt::format("{}{}", kPrefix, path));
}

}  // namespace

bool QuantConfig::has_override(std::string_view path) const {
  return find_module(overrides, path) != overrides.end();
}

std::optional<MlxQuant> QuantConfig::module(std::string_view path) const {
  const auto it = find_module(overrides, path);
  return it == overrides.end() ? std::optional(body) : it->second;
}

}  // namespace mach
