// Shapes of all five families with small numbers, for tests that make synthetic checkpoints.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "synth/model_shapes.h"

namespace mach::testing {

struct SmallShape {
  std::string like;               // the real model
  nlohmann::ordered_json config;  // hidden size 128, 16 experts
};

inline std::vector<SmallShape> small_shapes() {
  using Json = nlohmann::ordered_json;
  const Json common = {{"hidden_size", 128},       {"vocab_size", 1024}, {"num_attention_heads", 4},
                       {"num_key_value_heads", 2}, {"head_dim", 32},     {"moe_intermediate_size", 64}};
  struct Change {
    const char* like;
    Json values;
  };
  const std::vector<Change> changes = {
      {"qwen3-30b-a3b", {{"num_experts", 16}, {"num_experts_per_tok", 4}}},
      {"qwen3.6-35b-a3b",
       {{"num_experts", 16},
        {"num_experts_per_tok", 4},
        {"shared_expert_intermediate_size", 64},
        {"linear_num_key_heads", 2},
        {"linear_num_value_heads", 4},
        {"linear_key_head_dim", 32},
        {"linear_value_head_dim", 32}}},
      {"gpt-oss-20b", {{"num_local_experts", 16}, {"intermediate_size", 64}}},
      {"gemma-4-26b-a4b",
       {{"num_experts", 16},
        {"top_k_experts", 4},
        {"intermediate_size", 64},
        {"num_global_key_value_heads", 1},
        {"global_head_dim", 64}}},
      {"deepseek-v4-flash",
       {{"n_routed_experts", 16},
        {"num_experts_per_tok", 4},
        {"num_key_value_heads", 1},
        {"qk_rope_head_dim", 16},
        {"q_lora_rank", 64},
        {"o_groups", 2},
        {"o_lora_rank", 64},
        {"index_n_heads", 4},
        {"index_head_dim", 32},
        {"index_topk", 8}}},
  };
  std::vector<SmallShape> shapes;
  for (const Change& change : changes) {
    for (const synth::ModelShape& shape : synth::model_shapes()) {
      if (shape.name != change.like) continue;
      Json config = Json::parse(shape.config);
      Json& text = config.contains("text_config") ? config["text_config"] : config;
      for (const auto& [key, value] : common.items()) text[key] = value;
      for (const auto& [key, value] : change.values.items()) text[key] = value;
      shapes.push_back({change.like, std::move(config)});
    }
  }
  return shapes;
}

// Writes it as a file for `--like`.
inline std::string write_shape(const SmallShape& shape, const std::filesystem::path& folder) {
  const auto path = folder / (shape.like + ".json");
  write_file_atomically(path, shape.config.dump());
  return path.string();
}

}  // namespace mach::testing
