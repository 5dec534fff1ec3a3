// The graph of deepseek_v4 (DeepSeek-V4-Flash): residual streams mixed by hyper-connections; attention over one latent row
// per token, seen through a window and compressed entries; sqrt-softplus routing, by token id in the first layers.
// Specification: Hugging Face transformers 5.17, modeling_deepseek_v4.py, in fp32; ModelOptions::official_round_trips
// adds the quantisation steps of DeepSeek's own implementation.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "model/blocks/compressor.h"
#include "model/blocks/head.h"
#include "model/blocks/hyper_connection.h"
#include "model/blocks/latent_attention.h"
#include "model/blocks/linear.h"
#include "model/blocks/norm.h"
#include "model/families/family.h"

namespace mach {

class DeepSeekV4 final : public Model {
 public:
  explicit DeepSeekV4(ModelParts parts);

  const ModelConfig& config() const noexcept override { return parts_.config; }
  std::unique_ptr<SequenceState> new_state() const override;
  void forward(Workspace& workspace, std::span<const SequenceStep> steps,
               std::span<float> logits) const override;

 private:
  // Chooses the compressed entries that a query attends to.
  struct Indexer {
    Compressor keys;
    Linear q;             // [heads * dim, q_lora_rank]
    Linear head_weights;  // [heads, hidden]
  };
  struct Layer {
    HyperConnection attention_hc, ffn_hc;
    RmsNorm attention_norm, ffn_norm;
    Linear q_a, q_b, kv;
    RmsNorm q_a_norm, kv_norm;
    std::vector<Linear> o_a;  // one per head group
    Linear o_b;
    std::span<const float> sinks;
    std::optional<Compressor> compressor;
    std::optional<Indexer> indexer;
    Linear router;
    std::span<const float> router_bias;  // scored layers
    IdTable experts_of_token;            // hash layers
    GatedMlp shared_expert;
  };

  Layer bind_layer(uint32_t i) const;
  Compressor bind_compressor(const std::string& prefix, const PoolShape& shape, uint32_t rope) const;
  HyperConnection bind_hyper_connection(const std::string& prefix) const;
  CompressedShape cache_shape(const LayerConfig& layer) const;

  FloatRows attention(Workspace& workspace, const Pass& pass, uint32_t i, std::span<const RopeTables> ropes,
                      const FloatRows& x) const;
  void store_latent(Workspace& workspace, const Pass& pass, uint32_t i, const RopeTables& rope,
                    const Activations& x) const;
  ChosenEntries choose_entries(Workspace& workspace, const Pass& pass, uint32_t i, const RopeTables& rope,
                               const Activations& x, const Activations& low_rank) const;
  bool rounds_input(const Linear& linear) const noexcept;
  FloatRows project_output(Workspace& workspace, uint32_t i, const FloatRows& o) const;
  FloatRows feed_forward(Workspace& workspace, const Pass& pass, uint32_t i, const FloatRows& x) const;

  ModelParts parts_;
  HyperConnectionShape hc_;
  WeightMatrix embedding_;
  std::vector<Rope> ropes_;
  std::vector<Layer> layers_;
  HyperConnection head_hc_;
  Head head_;
};

}  // namespace mach
