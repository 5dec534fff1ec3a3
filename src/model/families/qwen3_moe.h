// The graph of qwen3_moe (Qwen3-30B-A3B, Qwen3-Coder, Qwen3-235B-A22B): pre-norm blocks of grouped-query
// attention with a norm per q and k head, and a mixture of experts (or a dense MLP) after each. Specification:
// Hugging Face transformers 5.17, modeling_qwen3_moe.py.
#pragma once

#include <optional>
#include <vector>

#include "model/blocks/head.h"
#include "model/blocks/linear.h"
#include "model/blocks/norm.h"
#include "model/families/family.h"

namespace mach {

class Qwen3Moe final : public Model {
 public:
  explicit Qwen3Moe(ModelParts parts);

  const ModelConfig& config() const noexcept override { return parts_.config; }
  std::unique_ptr<SequenceState> new_state() const override;
  void forward(Workspace& workspace, std::span<const SequenceStep> steps,
               std::span<float> logits) const override;

 private:
  struct Layer {
    RmsNorm attention_norm;
    Linear q, k, v, o;
    RmsNorm q_norm, k_norm;
    RmsNorm ffn_norm;
    Linear router;                // MoE layers
    std::optional<GatedMlp> mlp;  // dense layers
  };

  Layer bind_layer(uint32_t i) const;
  FloatRows attention(Workspace& workspace, const Pass& pass, uint32_t i, const RopeTables& rope,
                      const FloatRows& x) const;
  FloatRows feed_forward(Workspace& workspace, uint32_t i, const FloatRows& x) const;

  ModelParts parts_;
  WeightMatrix embedding_;
  std::vector<Rope> ropes_;
  std::vector<Layer> layers_;
  Head head_;
};

}  // namespace mach
