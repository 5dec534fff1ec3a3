// The table of docs/PERFORMANCE.md: what a token of each known shape costs, from shapes and formats alone. No weights are made.
//   token_costs
#include <cstdio>
#include <string>

#include <nlohmann/json.hpp>

#include "arch/model_bytes.h"
#include "io/safetensors_header.h"
#include "measure/token_cost.h"
#include "synth/storage_plan.h"
#include "synth/synth_config.h"

namespace {

using namespace mach;  // NOLINT(google-build-using-namespace): a program, not a header

void print_row(const synth::ModelShape& shape) {
  const auto json = synth::synthetic_config(nlohmann::ordered_json::parse(shape.config), 0, shape.quant);
  const ModelConfig config = parse_model_config(nlohmann::json(json), shape.name);
  const std::vector<TensorSpec> specs = synth::storage_specs(config, shape.quant);
  const std::string text = safetensors_header_text(specs);
  uint64_t file_size = text.size();
  for (const TensorSpec& spec : specs)
    file_size += spec.shape.elements().value_or(0) * dtype_row(spec.dtype).bits / 8;
  std::vector<ShardHeader> shards;
  shards.push_back(
      {"model.safetensors", parse_safetensors_header(std::as_bytes(std::span(text)), file_size, shape.name)});
  const TensorPlan plan = build_tensor_plan(config, TensorCatalog::build(shards, nullptr, shape.name));

  constexpr double kGiga = 1e-9;
  const auto bytes = [&](uint32_t depth, uint32_t batch) {
    return measure::decode_bytes(config, plan, {.depth = depth, .batch = batch});
  };
  const measure::PassBytes empty = bytes(0, 1);
  std::printf("| %s | %s | %.2f | %.3f | %.3f | %.3f | %.3f | %.2f | %.3f | %.3f | %.3f |\n",
              shape.name.data(), plan.quant.c_str(),
              static_cast<double>(model_bytes(config, plan).routed) * kGiga,
              static_cast<double>(empty.resident) * kGiga, static_cast<double>(empty.experts) * kGiga,
              static_cast<double>(empty.total()) * kGiga, static_cast<double>(bytes(16384, 1).kv) * kGiga,
              8.0 * static_cast<double>(empty.total()) / static_cast<double>(bytes(0, 8).total()),
              measure::count_macs(config, 0, 1).total() * kGiga,
              measure::count_macs(config, 0, 512).total() / 512 * kGiga,
              measure::count_macs(config, 16384, 1).total() * kGiga);
}

}  // namespace

int main() {
  std::puts(
      "| shape | weights | all experts, GB | resident, GB | experts/token, GB | bytes/token, GB | KV at 16k, "
      "GB | "
      "batch 8 may gain | GMAC/token | prefill 512 | decode at 16k |");
  std::puts("|---|---|---|---|---|---|---|---|---|---|---|");
  for (const auto& shape : synth::model_shapes()) print_row(shape);
  return 0;
}
