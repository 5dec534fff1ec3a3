// config.json from anyone: parse, resolve rotary tables, add up bytes, and look for the tensors in an empty checkpoint.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "arch/model_bytes.h"
#include "arch/model_config.h"
#include "arch/tensor_plan.h"
#include "io/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const nlohmann::json json = mach::parse_json(text, "config.json");
    const mach::ModelConfig config = mach::parse_model_config(json);
    for (const mach::RopeConfig& rope : config.ropes) {
      for (const float frequency : mach::rope_inverse_frequencies(rope)) {
        if (!(frequency >= 0.0F && frequency <= 1.0F)) __builtin_trap();
      }
    }
    for (const mach::LayerConfig& layer : config.layers) {
      if (layer.heads > 0 && (layer.rope >= config.ropes.size() || layer.heads % layer.kv_heads != 0))
        __builtin_trap();
    }
    const mach::ParameterCounts counts = mach::count_parameters(config);
    if (counts.active > counts.total) __builtin_trap();
    mach::estimate_model_bytes(config);
    mach::kv_bytes_at(config, config.max_position_embeddings, mach::KvElement::kF32);
    mach::build_tensor_plan(config, mach::TensorCatalog());
  } catch (const mach::Error&) {  // the one way to refuse a file
  }
  return 0;
}
