// The graph of gemma4 (Gemma 4 26B-A4B and its text-only siblings): sandwich norms, sliding and full attention layers
// with different head shapes, a dense MLP beside the routed experts, a learned scalar per layer, a soft cap on the
// logits; in the small models also per-layer embeddings and layers that read the K and V of an earlier one.
// Specification: Hugging Face transformers 5.17, modeling_gemma4.py.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "model/blocks/head.h"
#include "model/blocks/linear.h"
#include "model/blocks/norm.h"
#include "model/families/family.h"

namespace mach {

class Gemma4 final : public Model {
 public:
  explicit Gemma4(ModelParts parts);

  const ModelConfig& config() const noexcept override { return parts_.config; }
  std::unique_ptr<SequenceState> new_state() const override;
  void forward(Workspace& workspace, std::span<const SequenceStep> steps,
               std::span<float> logits) const override;

 private:
  // Router and norms around the routed experts.
  struct Experts {
    std::vector<float> router_scale;  // [hidden] scale / sqrt(hidden), the weight of the router's own norm
    Linear router;
    std::span<const float> per_expert_scale;  // [experts], applied after renormalising
    RmsNorm input_norm;                       // pre_feedforward_layernorm_2
    RmsNorm dense_norm, routed_norm;          // post_feedforward_layernorm_1, _2
  };
  struct PerLayerInput {
    Linear gate, projection;
    RmsNorm norm;
  };
  struct Layer {
    RmsNorm attention_norm, post_attention_norm;
    Linear q, o;
    std::optional<Linear> k,
        v;  // no k: the layer has no KV of its own; no v: V is made from the K projection
    RmsNorm q_norm, k_norm;
    RmsNorm ffn_norm, post_ffn_norm;
    GatedMlp mlp;
    std::optional<Experts> experts;
    std::optional<PerLayerInput> per_layer;
    float scalar = 1.0F;
  };

  Layer bind_layer(uint32_t i) const;
  FloatRows per_layer_inputs(Workspace& workspace, const Pass& pass, const FloatRows& x0) const;
  void add_per_layer_input(Workspace& workspace, uint32_t i, const FloatRows& inputs,
                           const FloatRows& h) const;
  FloatRows attention(Workspace& workspace, const Pass& pass, uint32_t i, const RopeTables& rope,
                      const FloatRows& x) const;
  void store_keys_values(Workspace& workspace, const Pass& pass, uint32_t i, const RopeTables& rope,
                         const Activations& x) const;
  FloatRows feed_forward(Workspace& workspace, uint32_t i, const FloatRows& h) const;
  FloatRows routed_experts(Workspace& workspace, uint32_t i, const FloatRows& h) const;

  ModelParts parts_;
  RmsNorm weightless_;
  WeightMatrix embedding_;
  std::optional<WeightMatrix> per_layer_embedding_;
  std::optional<Linear> per_layer_projection_;
  RmsNorm per_layer_norm_;
  std::vector<Rope> ropes_;
  std::vector<Layer> layers_;
  Head head_;
};

}  // namespace mach
