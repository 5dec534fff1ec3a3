// The graph of qwen3_5_moe (Qwen3.5 and Qwen3.6 MoE models, text): three Gated DeltaNet layers to one gated full-attention
// layer, a mixture of experts with a gated shared expert in every layer. Specification: Hugging Face transformers 5.17,
// modeling_qwen3_5_moe.py.
#pragma once

#include <span>
#include <variant>
#include <vector>

#include "model/blocks/gated_delta.h"
#include "model/blocks/head.h"
#include "model/blocks/linear.h"
#include "model/blocks/norm.h"
#include "model/families/family.h"

namespace mach {

class Qwen35Moe final : public Model {
 public:
  explicit Qwen35Moe(ModelParts parts);

  const ModelConfig& config() const noexcept override { return parts_.config; }
  std::unique_ptr<SequenceState> new_state() const override;
  void forward(Workspace& workspace, std::span<const SequenceStep> steps,
               std::span<float> logits) const override;

 private:
  struct FullAttention {
    Linear q, k, v, o;  // q: per head the query's rows, then its gate's
    RmsNorm q_norm, k_norm;
  };
  struct LinearAttention {
    Linear qkv, z, a, b, out;
    GatedDelta delta;
    std::vector<float> conv;  // [taps, channels]
    RmsNorm norm;             // per value head
  };
  struct Layer {
    RmsNorm mixer_norm, ffn_norm;
    std::variant<FullAttention, LinearAttention> mixer;
    Linear router;
    GatedMlp shared_expert;
    Linear shared_expert_gate;
  };

  Layer bind_layer(uint32_t i) const;
  LinearAttention bind_linear_attention(const std::string& prefix) const;
  FloatRows mix(Workspace& workspace, const Pass& pass, uint32_t i, const FullAttention& layer,
                std::span<const RopeTables> ropes, const FloatRows& x) const;
  FloatRows mix(Workspace& workspace, const Pass& pass, uint32_t i, const LinearAttention& layer,
                std::span<const RopeTables> ropes, const FloatRows& x) const;
  FloatRows feed_forward(Workspace& workspace, uint32_t i, const FloatRows& x) const;
  bool exact() const noexcept { return parts_.options.numerics == Numerics::kExact; }

  ModelParts parts_;
  DeltaShape delta_shape_;
  WeightMatrix embedding_;
  std::vector<Rope> ropes_;
  std::vector<Layer> layers_;
  Head head_;
};

}  // namespace mach
