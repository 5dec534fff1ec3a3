// The graph of gpt_oss (gpt-oss-20b, gpt-oss-120b): pre-norm blocks of grouped-query attention with a sink logit per
// head, sliding and full layers by turns, and a mixture of experts with biases and a clamped SwiGLU in every layer.
// Specification: Hugging Face transformers 5.17, modeling_gpt_oss.py.
#pragma once

#include <span>
#include <vector>

#include "model/blocks/head.h"
#include "model/blocks/linear.h"
#include "model/blocks/norm.h"
#include "model/families/family.h"

namespace mach {

class GptOss final : public Model {
 public:
  explicit GptOss(ModelParts parts);

  const ModelConfig& config() const noexcept override { return parts_.config; }
  std::unique_ptr<SequenceState> new_state() const override;
  void forward(Workspace& workspace, std::span<const SequenceStep> steps,
               std::span<float> logits) const override;

 private:
  struct Layer {
    RmsNorm attention_norm;
    Linear q, k, v, o;
    std::span<const float> sinks;  // [heads]
    RmsNorm ffn_norm;
    Linear router;
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
