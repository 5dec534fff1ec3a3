#include "arch/model_config.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "arch/config_reader.h"
#include "arch/quant_reader.h"
#include "arch/registry.h"

namespace mach {
namespace {

const ArchRow& require_arch(const ConfigReader& reader) {
  const auto model_type = reader.maybe_string("model_type");
  if (!model_type) reader.fail("model_type", "a string");
  if (const ArchRow* row = find_arch(*model_type)) return *row;
  throw Error(ErrorCode::kUnsupported,
              fmt::format("{} is {}, must be {}", reader.where("model_type"),
                          shown(*reader.find("model_type")), known_model_types(*model_type)));
}

// A pruned checkpoint may keep another number of experts in each layer (docs/ARTIFACTS.md).
void read_layer_experts(const ConfigReader& text, const ConfigReader& root, ModelConfig& out) {
  for (LayerConfig& layer : out.layers) layer.experts = layer.has_moe() ? out.moe.experts : 0;
  const ConfigReader& reader = text.has(kLayerExpertsKey) ? text : root;
  const auto counts = reader.maybe_counts(kLayerExpertsKey, out.layers.size(), out.moe.experts, 0);
  if (!counts) return;
  if (counts->size() != out.layers.size()) {
    reader.fail(kLayerExpertsKey, fmt::format("a list of {} counts, one per layer", out.layers.size()));
  }
  for (size_t i = 0; i < counts->size(); ++i) {
    LayerConfig& layer = out.layers[i];
    const uint32_t count = (*counts)[i];
    if (!layer.has_moe() && count == 0) continue;
    if (!layer.has_moe() || count < out.moe.top_k) {
      reader.fail(kLayerExpertsKey,
                  fmt::format("such that layer {} has {}", i,
                              layer.has_moe() ? fmt::format("at least {} experts", out.moe.top_k)
                                              : std::string("0, because it has no experts")));
    }
    layer.experts = count;
  }
}

}  // namespace

uint32_t ModelConfig::moe_layer_count() const noexcept {
  return static_cast<uint32_t>(
      std::count_if(layers.begin(), layers.end(), [](const LayerConfig& layer) { return layer.has_moe(); }));
}

ModelConfig parse_model_config(const nlohmann::json& config, std::string_view what) {
  const ConfigReader root(config, std::string(what));
  const ArchRow& row = require_arch(root);
  const ConfigReader text = root.maybe_object("text_config").value_or(root);
  // The nested model says its own type, which must be of the same family.
  if (text.has("model_type") && &require_arch(text) != &row) {
    text.unsupported("model_type",
                     fmt::format("one of the {} family, like the model around it", row.model_type));
  }

  ModelConfig out;
  out.family = row.family;
  out.model_type = *root.maybe_string("model_type");
  out.quant = read_quant_config(text, root);
  row.parse(text, root, out);
  read_layer_experts(text, root, out);
  // Plans and banks keep a few hundred bytes per expert.
  if (uint64_t{out.moe.experts} * out.moe_layer_count() > kMaxRoutedExperts) {
    text.fail("num_hidden_layers",
              fmt::format("such that all layers together have at most {} routed experts", kMaxRoutedExperts));
  }
  return out;
}

}  // namespace mach
