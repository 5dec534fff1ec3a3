#include "model/families/gemma4.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "mach/error.h"

#include "model/blocks/attention.h"
#include "model/blocks/dense_mlp.h"
#include "model/blocks/embedding.h"
#include "model/blocks/moe.h"
#include "model/blocks/router.h"
#include "model/pass.h"
#include "model/workspace.h"

namespace mach {
namespace {

// q . k is not scaled: the norms of q and k have learned it.
constexpr float kAttentionScale = 1.0F;

void scale_rows(Workspace& workspace, float factor, const FloatRows& x) {
  workspace.for_rows(x.count, x.dim,
                     [&](uint32_t row) { workspace.kernels().scale(factor, x.dim, x.row(row)); });
}

}  // namespace

std::unique_ptr<Model> make_gemma4(ModelParts parts) { return std::make_unique<Gemma4>(std::move(parts)); }

Gemma4::Gemma4(ModelParts parts)
    : parts_(std::move(parts)),
      weightless_{{}, parts_.config.rms_norm_eps},
      embedding_(parts_.weights->matrix("embed_tokens")),
      ropes_(make_ropes(parts_.config)),
      head_{.norm = {parts_.weights->vector("norm"), parts_.config.rms_norm_eps},
            .projection = parts_.weights->linear("lm_head"),
            .softcap = parts_.config.gemma->logit_softcap} {
  const GemmaConfig& gemma = *parts_.config.gemma;
  if (gemma.per_layer_input > 0) {
    if (gemma.per_layer_vocab < parts_.config.vocab_size) {
      throw Error(ErrorCode::kUnsupported,
                  "config.json: vocab_size_per_layer_input is " + std::to_string(gemma.per_layer_vocab) +
                      ", must be at least vocab_size (" + std::to_string(parts_.config.vocab_size) + ")");
    }
    per_layer_embedding_ = parts_.weights->matrix("embed_tokens_per_layer");
    per_layer_projection_ = parts_.weights->linear("per_layer_model_projection");
    per_layer_norm_ = {parts_.weights->vector("per_layer_projection_norm"), parts_.config.rms_norm_eps};
  }
  for (uint32_t i = 0; i < parts_.config.layer_count(); ++i) layers_.push_back(bind_layer(i));
}

Gemma4::Layer Gemma4::bind_layer(uint32_t i) const {
  WeightStore& weights = *parts_.weights;
  const LayerConfig& config = parts_.config.layers[i];
  const std::string layer = "layers." + std::to_string(i) + ".";
  const std::string attn = layer + "self_attn.";
  const auto norm = [&](const std::string& name) {
    return RmsNorm{weights.vector(name), parts_.config.rms_norm_eps};
  };

  Layer bound;
  bound.attention_norm = norm(layer + "input_layernorm");
  bound.post_attention_norm = norm(layer + "post_attention_layernorm");
  bound.q = weights.linear(attn + "q_proj");
  bound.o = weights.linear(attn + "o_proj");
  bound.q_norm = norm(attn + "q_norm");
  if (!config.kv_source) {
    bound.k = weights.linear(attn + "k_proj");
    bound.k_norm = norm(attn + "k_norm");
    if (!config.k_eq_v) bound.v = weights.linear(attn + "v_proj");
  }
  bound.ffn_norm = norm(layer + "pre_feedforward_layernorm");
  bound.post_ffn_norm = norm(layer + "post_feedforward_layernorm");
  bound.mlp = weights.gated_mlp(layer + "mlp");
  if (config.has_moe()) {
    Experts& experts = bound.experts.emplace();
    const auto scale = weights.vector(layer + "router.scale");
    const float root = 1.0F / std::sqrt(static_cast<float>(parts_.config.hidden_size));
    for (const float s : scale) experts.router_scale.push_back(s * root);
    experts.router = weights.linear(layer + "router.proj", Precision::kExact);
    experts.per_expert_scale = weights.vector(layer + "router.per_expert_scale");
    experts.input_norm = norm(layer + "pre_feedforward_layernorm_2");
    experts.dense_norm = norm(layer + "post_feedforward_layernorm_1");
    experts.routed_norm = norm(layer + "post_feedforward_layernorm_2");
  }
  if (per_layer_embedding_) {
    bound.per_layer = PerLayerInput{weights.linear(layer + "per_layer_input_gate"),
                                    weights.linear(layer + "per_layer_projection"),
                                    norm(layer + "post_per_layer_input_norm")};
  }
  const auto scalar = weights.vector_or_empty(layer + "layer_scalar");
  if (!scalar.empty()) bound.scalar = scalar[0];
  return bound;
}

std::unique_ptr<SequenceState> Gemma4::new_state() const {
  std::vector<std::unique_ptr<LayerCache>> caches;
  for (const LayerConfig& layer : parts_.config.layers)
    caches.push_back(layer.kv_source ? nullptr : make_kv_cache(layer, parts_));
  return std::make_unique<SequenceState>(std::move(caches));
}

void Gemma4::forward(Workspace& workspace, std::span<const SequenceStep> steps,
                     std::span<float> logits) const {
  workspace.set_numerics(parts_.options.numerics);
  Pass pass(workspace, parts_.config, steps, logits);
  FloatRows h = workspace.rows(pass.rows(), parts_.config.hidden_size);
  const FloatRows wanted = workspace.rows(pass.wanted_count(), h.dim);
  embed(workspace, embedding_, pass.tokens(), parts_.config.gemma->embedding_scale, h);
  workspace.observe(0, h);

  FloatRows per_layer = per_layer_embedding_ ? per_layer_inputs(workspace, pass, h) : FloatRows{};
  const auto ropes = make_rope_tables(workspace, pass, ropes_);
  for (uint32_t i = 0; i < layers_.size(); ++i) {
    const ScratchArena::Frame frame(workspace.arena());
    const Layer& layer = layers_[i];
    const FloatRows x = rms_norm(workspace, layer.attention_norm, h);
    FloatRows mixed = attention(workspace, pass, i, ropes[parts_.config.layers[i].rope], x);
    if (i + 1 == layers_.size()) {
      keep_wanted(workspace, pass, mixed, h, wanted);
      if (layer.per_layer) per_layer = gather_rows(workspace, per_layer, pass.wanted_rows());
    }
    rms_norm(workspace, layer.post_attention_norm, mixed, mixed);
    add_rows(workspace, mixed, h);
    const FloatRows m = feed_forward(workspace, i, h);
    rms_norm(workspace, layer.post_ffn_norm, m, m);
    add_rows(workspace, m, h);
    if (layer.per_layer) add_per_layer_input(workspace, i, per_layer, h);
    if (layer.scalar != 1.0F) scale_rows(workspace, layer.scalar, h);
    workspace.observe(i + 1, h);
  }

  compute_logits(workspace, head_, h, parts_.config.layer_count() + 1, logits);
  pass.commit();
}

// [rows, layers * P]: for each layer the mean (times sqrt 2) of the token's own per-layer embedding and a projection of
// the embedded token.
FloatRows Gemma4::per_layer_inputs(Workspace& workspace, const Pass& pass, const FloatRows& x0) const {
  const GemmaConfig& gemma = *parts_.config.gemma;
  const FloatRows out = workspace.rows(x0.count, per_layer_projection_->rows());
  {
    const auto input = workspace.prepare(x0);
    workspace.multiply({per_layer_projection_->times(*input, out)});
  }
  scale_rows(workspace, 1.0F / std::sqrt(static_cast<float>(x0.dim)), out);
  prepare_heads(workspace, {{out, gemma.per_layer_input, &per_layer_norm_, nullptr}});
  const FloatRows token = workspace.rows(out.count, out.dim);
  embed(workspace, *per_layer_embedding_, pass.tokens(), gemma.per_layer_embedding_scale, token);
  add_rows(workspace, token, out);
  scale_rows(workspace, 1.0F / std::sqrt(2.0F), out);
  return out;
}

void Gemma4::add_per_layer_input(Workspace& workspace, uint32_t i, const FloatRows& inputs,
                                 const FloatRows& h) const {
  const PerLayerInput& layer = *layers_[i].per_layer;
  const uint32_t width = parts_.config.gemma->per_layer_input;
  const FloatRows gated = workspace.rows(h.count, width);
  {
    const auto input = workspace.prepare(h);
    workspace.multiply({layer.gate.times(*input, gated)});
  }
  const kernel::GateParameters activation{.gate = kernel::Gate::kGeluTanh, .limit = 0, .alpha = 0};
  workspace.for_rows(h.count, 3 * size_t{width}, [&](uint32_t row) {
    workspace.kernels().gated_activation(activation, gated.row(row), inputs.row(row) + size_t{i} * width,
                                         width, gated.row(row));
  });
  const FloatRows projected = workspace.rows(h.count, h.dim);
  {
    const auto input = workspace.prepare(gated);
    workspace.multiply({layer.projection.times(*input, projected)});
  }
  rms_norm(workspace, layer.norm, projected, projected);
  add_rows(workspace, projected, h);
}

FloatRows Gemma4::attention(Workspace& workspace, const Pass& pass, uint32_t i, const RopeTables& rope,
                            const FloatRows& x) const {
  const LayerConfig& config = parts_.config.layers[i];
  const Layer& layer = layers_[i];
  const FloatRows q = workspace.rows(x.count, layer.q.rows());
  {
    const auto input = workspace.prepare(x);
    workspace.multiply({layer.q.times(*input, q)});
    if (layer.k) store_keys_values(workspace, pass, i, rope, *input);
  }
  prepare_heads(workspace, {{q, config.head_dim, &layer.q_norm, &rope}});

  const AttentionShape shape{
      .heads = config.heads, .scale = kAttentionScale, .window = config.window, .sinks = {}};
  attend(workspace, shape, attention_sequences(workspace, pass, config.kv_source.value_or(i)), q, q);

  const FloatRows out = workspace.rows(x.count, x.dim);
  const auto heads = workspace.prepare(q);
  workspace.multiply({layer.o.times(*heads, out)});
  return out;
}

// V has a norm without weight and no rotation, also where it is made from the raw K projection.
void Gemma4::store_keys_values(Workspace& workspace, const Pass& pass, uint32_t i, const RopeTables& rope,
                               const Activations& x) const {
  const LayerConfig& config = parts_.config.layers[i];
  const Layer& layer = layers_[i];
  const FloatRows k = workspace.rows(x.count(), layer.k->rows());
  const FloatRows v = workspace.rows(x.count(), layer.k->rows());
  if (layer.v) {
    workspace.multiply({layer.k->times(x, k), layer.v->times(x, v)});
  } else {
    workspace.multiply({layer.k->times(x, k)});
    std::copy_n(k.data, size_t{k.count} * k.dim, v.data);
  }
  prepare_heads(workspace,
                {{k, config.head_dim, &layer.k_norm, &rope}, {v, config.head_dim, &weightless_, nullptr}});
  store_kv(workspace, attention_sequences(workspace, pass, i), k, v);
}

// Three different inputs: the router reads h, the dense MLP and the experts each their own norm of it.
FloatRows Gemma4::feed_forward(Workspace& workspace, uint32_t i, const FloatRows& h) const {
  const Layer& layer = layers_[i];
  const FloatRows out = workspace.rows(h.count, h.dim);
  {
    const FloatRows x = rms_norm(workspace, layer.ffn_norm, h);
    const auto input = workspace.prepare(x);
    run_gated_mlp(workspace, layer.mlp, gate_parameters(parts_.config.activation), *input, out);
  }
  if (!layer.experts) return out;
  rms_norm(workspace, layer.experts->dense_norm, out, out);
  const FloatRows routed = routed_experts(workspace, i, h);
  rms_norm(workspace, layer.experts->routed_norm, routed, routed);
  add_rows(workspace, routed, out);
  return out;
}

FloatRows Gemma4::routed_experts(Workspace& workspace, uint32_t i, const FloatRows& h) const {
  const MoeConfig& moe = parts_.config.moe;
  const Experts& layer = *layers_[i].experts;
  const FloatRows logits = workspace.rows(h.count, parts_.config.layers[i].experts);
  {
    const FloatRows r = rms_norm(workspace, {layer.router_scale, parts_.config.rms_norm_eps}, h);
    const auto input = workspace.prepare(r);
    workspace.multiply({layer.router.times(*input, logits, Precision::kExact)});
  }
  const Routing routing = softmax_top_k(workspace, logits, moe.top_k, true);
  for (uint32_t row = 0; row < h.count; ++row) {
    for (uint32_t k = 0; k < moe.top_k; ++k)
      routing.weights.row(row)[k] *= layer.per_expert_scale[routing.experts_of(row)[k]];
  }

  const FloatRows x = rms_norm(workspace, layer.input_norm, h);
  const FloatRows out = workspace.rows(h.count, h.dim);
  const RoutedExperts experts{.provider = parts_.experts.get(),
                              .layer = i,
                              .expert_count = parts_.config.layers[i].experts,
                              .intermediate = moe.intermediate,
                              .activation = gate_parameters(parts_.config.activation)};
  const auto input = workspace.prepare(x);
  run_experts(workspace, experts, *input, routing, out);
  return out;
}

}  // namespace mach
