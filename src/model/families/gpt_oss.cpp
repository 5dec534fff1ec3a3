#include "model/families/gpt_oss.h"

#include <cmath>
#include <string>

#include "model/blocks/attention.h"
#include "model/blocks/dense_mlp.h"
#include "model/blocks/embedding.h"
#include "model/blocks/lookahead.h"
#include "model/blocks/moe.h"
#include "model/blocks/router.h"
#include "model/pass.h"
#include "model/workspace.h"

namespace mach {

std::unique_ptr<Model> make_gpt_oss(ModelParts parts) { return std::make_unique<GptOss>(std::move(parts)); }

GptOss::GptOss(ModelParts parts)
    : parts_(std::move(parts)),
      embedding_(parts_.weights->matrix("embed_tokens")),
      ropes_(make_ropes(parts_.config)),
      head_{.norm = {parts_.weights->vector("norm"), parts_.config.rms_norm_eps},
            .projection = parts_.weights->linear("lm_head"),
            .softcap = {},
            .stored = parts_.weights->matrix("lm_head")} {
  for (uint32_t i = 0; i < parts_.config.layer_count(); ++i) layers_.push_back(bind_layer(i));
}

GptOss::Layer GptOss::bind_layer(uint32_t i) const {
  WeightStore& weights = *parts_.weights;
  const float eps = parts_.config.rms_norm_eps;
  const std::string layer = "layers." + std::to_string(i) + ".";
  const std::string attn = layer + "self_attn.";
  return {.attention_norm = {weights.vector(layer + "input_layernorm"), eps},
          .q = weights.linear(attn + "q_proj"),
          .k = weights.linear(attn + "k_proj"),
          .v = weights.linear(attn + "v_proj"),
          .o = weights.linear(attn + "o_proj"),
          .sinks = weights.vector(attn + "sinks"),
          .ffn_norm = {weights.vector(layer + "post_attention_layernorm"), eps},
          .router = weights.linear(layer + "mlp.router", Precision::kExact)};
}

std::unique_ptr<SequenceState> GptOss::new_state() const {
  std::vector<std::unique_ptr<LayerCache>> caches;
  for (const LayerConfig& layer : parts_.config.layers) caches.push_back(make_kv_cache(layer, parts_));
  return std::make_unique<SequenceState>(std::move(caches));
}

void GptOss::forward(Workspace& workspace, std::span<const SequenceStep> steps,
                     std::span<float> logits) const {
  workspace.set_numerics(parts_.options.numerics);
  Pass pass(workspace, parts_.config, steps, logits);
  FloatRows h = workspace.rows(pass.rows(), parts_.config.hidden_size);
  const FloatRows wanted = workspace.rows(pass.wanted_count(), h.dim);
  embed(workspace, embedding_, pass.tokens(), 1.0F, h);
  workspace.observe(0, h);

  const auto ropes = make_rope_tables(workspace, pass, ropes_);
  for (uint32_t i = 0; i < layers_.size(); ++i) {
    const ScratchArena::Frame frame(workspace.arena());
    const Layer& layer = layers_[i];
    const FloatRows x = rms_norm(workspace, layer.attention_norm, h);
    FloatRows mixed = attention(workspace, pass, i, ropes[parts_.config.layers[i].rope], x);
    if (i + 1 == layers_.size()) keep_wanted(workspace, pass, mixed, h, wanted);
    const FloatRows y = add_and_norm(workspace, mixed, h, layer.ffn_norm);
    add_rows(workspace, feed_forward(workspace, i, y), h);
    if (i + 1 < layers_.size()) {
      const Layer& next = layers_[i + 1];
      guess_experts(workspace,
                    {parts_.experts.get(), i + 1, &next.ffn_norm, &next.router, parts_.config.moe.top_k}, h);
    }
    workspace.observe(i + 1, h);
  }

  compute_logits(workspace, head_, h, parts_.config.layer_count() + 1, logits);
  pass.commit();
}

// No norm on q and k. Sinks are in the softmax's denominator only, in sliding and full layers alike.
FloatRows GptOss::attention(Workspace& workspace, const Pass& pass, uint32_t i, const RopeTables& rope,
                            const FloatRows& x) const {
  const LayerConfig& config = parts_.config.layers[i];
  const Layer& layer = layers_[i];
  const FloatRows q = workspace.rows(x.count, layer.q.rows());
  const FloatRows k = workspace.rows(x.count, layer.k.rows());
  const FloatRows v = workspace.rows(x.count, layer.v.rows());
  {
    const auto input = workspace.prepare(x);
    // Queries bear activations of one term, keys, values and the output do not (mini-gpt_oss-mxfp4: top-1 99.16 % against exact
    // mode; 99.18 % with two terms, 99.05 % with one for the output).
    workspace.multiply(
        {layer.q.times(*input, q, Precision::kOneTerm), layer.k.times(*input, k), layer.v.times(*input, v)});
  }
  prepare_heads(workspace, {{q, config.head_dim, nullptr, &rope}, {k, config.head_dim, nullptr, &rope}});

  const auto sequences = attention_sequences(workspace, pass, i);
  store_kv(workspace, sequences, k, v);
  const AttentionShape shape{.heads = config.heads,
                             .scale = 1.0F / std::sqrt(static_cast<float>(config.head_dim)),
                             .window = config.window,
                             .sinks = layer.sinks};
  attend(workspace, shape, sequences, q, q);

  const FloatRows out = workspace.rows(x.count, x.dim);
  const auto heads = workspace.prepare(q);
  workspace.multiply({layer.o.times(*heads, out)});
  return out;
}

FloatRows GptOss::feed_forward(Workspace& workspace, uint32_t i, const FloatRows& x) const {
  const MoeConfig& moe = parts_.config.moe;
  const auto input = workspace.prepare(x);
  const FloatRows logits = workspace.rows(x.count, parts_.config.layers[i].experts);
  workspace.multiply({layers_[i].router.times(*input, logits, Precision::kExact)});
  const Routing routing = top_k_softmax(workspace, logits, moe.top_k);
  const RoutedExperts experts{.provider = parts_.experts.get(),
                              .layer = i,
                              .expert_count = parts_.config.layers[i].experts,
                              .intermediate = moe.intermediate,
                              .activation = gate_parameters(parts_.config.activation)};
  const FloatRows out = workspace.rows(x.count, x.dim);
  run_experts(workspace, experts, *input, routing, out);
  return out;
}

}  // namespace mach
