#include "model/model.h"

#include <filesystem>
#include <string>
#include <system_error>

#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "arch/registry.h"
#include "arch/sidecar_layout.h"
#include "arch/tensor_plan.h"
#include "io/checkpoint_files.h"
#include "io/json.h"
#include "model/families/family.h"

namespace mach {
namespace {

struct FamilyGraph {
  Family family;
  std::unique_ptr<Model> (*make)(ModelParts parts);
};

// One row per family that can be run.
constexpr FamilyGraph kGraphs[] = {
    {Family::kQwen3Moe, make_qwen3_moe},     {Family::kQwen3_5Moe, make_qwen3_5_moe},
    {Family::kGptOss, make_gpt_oss},         {Family::kGemma4, make_gemma4},
    {Family::kDeepSeekV4, make_deepseek_v4},
};

}  // namespace

ModelParts open_model_parts(const std::filesystem::path& directory, const ModelOptions& options) {
  const std::filesystem::path config_path = directory / "config.json";
  ModelParts parts;
  parts.config = parse_model_config(read_json_file(config_path), config_path.string());
  parts.options = options;
  if (options.numerics == Numerics::kExact) parts.options.kv_element = KvElement::kF32;
  CheckpointFiles files = CheckpointFiles::open(directory);
  // A sidecar may hold the experts instead of the shards.
  std::error_code ignored;
  const bool sidecar = std::filesystem::exists(directory / kSidecarFolder / kSidecarLayoutFile, ignored);
  TensorPlan plan = build_tensor_plan(parts.config, files.catalog(), {.experts_in_sidecar = sidecar});
  const LoadOptions load{
      .numerics = options.numerics,
      .kernels = options.kernels != nullptr ? options.kernels : &select_kernel_set(probe_cpu_features()),
      .pool = options.load_pool,
      .float_weights = options.float_weights,
      .progress = options.load_progress};
  parts.weights = std::make_unique<WeightStore>(std::move(files), std::move(plan), load);
  parts.experts = open_experts(directory, parts.config, *parts.weights, options.numerics, options.residency);
  return parts;
}

std::unique_ptr<Model> make_model(ModelParts parts) {
  for (const FamilyGraph& graph : kGraphs) {
    if (graph.family != parts.config.family) continue;
    const ExpertProvider* experts = parts.experts.get();
    auto model = graph.make(std::move(parts));
    model->watch_experts(experts);
    return model;
  }
  throw Error(ErrorCode::kUnsupported,
              "the graph of model_type '" + parts.config.model_type + "' is not built yet");
}

ExpertStatus Model::expert_status() const {
  return experts_ == nullptr ? ExpertStatus{} : experts_->status();
}

std::unique_ptr<Model> Model::open(const std::filesystem::path& directory, const ModelOptions& options) {
  return make_model(open_model_parts(directory, options));
}

}  // namespace mach
