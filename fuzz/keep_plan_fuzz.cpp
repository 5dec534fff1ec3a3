// A pruning plan from anyone: parse it, and hold it against a small model.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mach/error.h"

#include "convert/keep_plan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  mach::ModelConfig config;
  config.moe.experts = 8;
  config.moe.top_k = 2;
  config.layers.resize(3);
  config.layers[1].ffn = mach::FfnKind::kDense;
  for (mach::LayerConfig& layer : config.layers) layer.experts = layer.has_moe() ? 8 : 0;
  try {
    const mach::KeptExperts kept = mach::resolve_keep_plan(mach::parse_keep_plan(text, "a", "plan"), config);
    for (size_t layer = 0; layer < kept.size(); ++layer) {
      if (kept[layer].size() > config.layers[layer].experts) __builtin_trap();
      for (size_t i = 0; i < kept[layer].size(); ++i) {
        if (kept[layer][i] >= 8 || (i > 0 && kept[layer][i - 1] >= kept[layer][i])) __builtin_trap();
      }
    }
    if (mach::kept_label(kept).empty()) __builtin_trap();
  } catch (const mach::Error&) {  // the one way to refuse a file
  }
  return 0;
}
