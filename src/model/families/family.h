// What a family's graph is made from, and the functions that make one. Model::open() puts the parts together
// and picks the function from its table; adding a family is a source file, a line here and a row there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "arch/model_config.h"
#include "base/slab_pool.h"
#include "experts/expert_provider.h"
#include "model/blocks/rope.h"
#include "model/caches/kv_cache.h"
#include "model/model.h"
#include "model/weights.h"

namespace mach {

class Pass;
class Workspace;

struct ModelParts {
  ModelConfig config;
  ModelOptions options;  // kv_element is kF32 in exact mode
  std::unique_ptr<WeightStore> weights;
  std::unique_ptr<ExpertProvider> experts;  // goes before the weights
  std::shared_ptr<SlabPool> kv_memory = SlabPool::make();
};

// The two halves of Model::open(): the parts of a checkpoint with all experts resident, and the graph over them.
// In between a caller may put another provider around or in place of the experts.
ModelParts open_model_parts(const std::filesystem::path& directory, const ModelOptions& options);
std::unique_ptr<Model> make_model(ModelParts parts);

std::unique_ptr<Model> make_qwen3_moe(ModelParts parts);
std::unique_ptr<Model> make_qwen3_5_moe(ModelParts parts);
std::unique_ptr<Model> make_deepseek_v4(ModelParts parts);
std::unique_ptr<Model> make_gpt_oss(ModelParts parts);
std::unique_ptr<Model> make_gemma4(ModelParts parts);

// The KV of an attention layer: a ring where it has a window, pages where it has none.
std::unique_ptr<KvCache> make_kv_cache(const LayerConfig& layer, const ModelParts& parts);

// One Rope per entry of ModelConfig::ropes, and their tables for a pass (by the same index, in the arena).
std::vector<Rope> make_ropes(const ModelConfig& config);
std::span<const RopeTables> make_rope_tables(Workspace& workspace, const Pass& pass,
                                             std::span<const Rope> ropes);

}  // namespace mach
