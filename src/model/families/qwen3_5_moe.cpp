#include "model/families/qwen3_5_moe.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "model/blocks/attention.h"
#include "model/blocks/dense_mlp.h"
#include "model/blocks/embedding.h"
#include "model/blocks/lookahead.h"
#include "model/blocks/moe.h"
#include "model/blocks/router.h"
#include "model/caches/delta_state.h"
#include "model/pass.h"
#include "model/workspace.h"

namespace mach {
namespace {

DeltaShape delta_shape(const GatedDeltaConfig& config) {
  return {.key_heads = config.key_heads,
          .value_heads = config.value_heads,
          .key_dim = config.key_dim,
          .value_dim = config.value_dim,
          .channels = config.conv_channels(),
          .taps = config.conv_taps};
}

}  // namespace

std::unique_ptr<Model> make_qwen3_5_moe(ModelParts parts) {
  return std::make_unique<Qwen35Moe>(std::move(parts));
}

Qwen35Moe::Qwen35Moe(ModelParts parts)
    : parts_(std::move(parts)),
      delta_shape_(delta_shape(*parts_.config.gated_delta)),
      embedding_(parts_.weights->matrix("embed_tokens")),
      ropes_(make_ropes(parts_.config)),
      head_{.norm = {parts_.weights->vector("norm"), parts_.config.rms_norm_eps},
            .projection = parts_.weights->linear("lm_head"),
            .softcap = {}} {
  for (uint32_t i = 0; i < parts_.config.layer_count(); ++i) layers_.push_back(bind_layer(i));
  for (Layer& layer : layers_) {  // at their final place
    if (auto* linear = std::get_if<LinearAttention>(&layer.mixer)) linear->delta.conv = linear->conv;
  }
}

Qwen35Moe::Layer Qwen35Moe::bind_layer(uint32_t i) const {
  WeightStore& weights = *parts_.weights;
  const float eps = parts_.config.rms_norm_eps;
  const std::string layer = "layers." + std::to_string(i) + ".";
  const std::string attn = layer + "self_attn.";
  Layer bound;
  bound.mixer_norm = {weights.vector(layer + "input_layernorm"), eps};
  bound.ffn_norm = {weights.vector(layer + "post_attention_layernorm"), eps};
  if (parts_.config.layers[i].mixer == MixerKind::kGatedDelta) {
    bound.mixer = bind_linear_attention(layer + "linear_attn.");
  } else {
    bound.mixer = FullAttention{.q = weights.linear(attn + "q_proj"),
                                .k = weights.linear(attn + "k_proj"),
                                .v = weights.linear(attn + "v_proj"),
                                .o = weights.linear(attn + "o_proj"),
                                .q_norm = {weights.vector(attn + "q_norm"), eps},
                                .k_norm = {weights.vector(attn + "k_norm"), eps}};
  }
  bound.router = weights.linear(layer + "mlp.gate", Precision::kExact);
  bound.shared_expert = weights.gated_mlp(layer + "mlp.shared_expert");
  bound.shared_expert_gate = weights.linear(layer + "mlp.shared_expert_gate", Precision::kExact);
  return bound;
}

Qwen35Moe::LinearAttention Qwen35Moe::bind_linear_attention(const std::string& prefix) const {
  WeightStore& weights = *parts_.weights;
  LinearAttention bound;
  bound.qkv = weights.linear(prefix + "in_proj_qkv");
  bound.z = weights.linear(prefix + "in_proj_z");
  bound.a = weights.linear(prefix + "in_proj_a", Precision::kExact);
  bound.b = weights.linear(prefix + "in_proj_b", Precision::kExact);
  bound.out = weights.linear(prefix + "out_proj");
  bound.norm = {weights.vector(prefix + "norm"), parts_.config.rms_norm_eps};
  bound.delta = {.shape = delta_shape_,
                 .conv = {},
                 .a_log = weights.vector(prefix + "A_log"),
                 .dt_bias = weights.vector(prefix + "dt_bias")};
  // Stored channel by channel; one row per tap lets the convolution run along the channels.
  const auto stored = weights.vector(prefix + "conv1d");
  bound.conv.resize(stored.size());
  for (uint32_t c = 0; c < delta_shape_.channels; ++c) {
    for (uint32_t j = 0; j < delta_shape_.taps; ++j)
      bound.conv[size_t{j} * delta_shape_.channels + c] = stored[size_t{c} * delta_shape_.taps + j];
  }
  return bound;
}

std::unique_ptr<SequenceState> Qwen35Moe::new_state() const {
  std::vector<std::unique_ptr<LayerCache>> caches;
  for (const LayerConfig& layer : parts_.config.layers) {
    if (layer.mixer == MixerKind::kGatedDelta) {
      caches.push_back(std::make_unique<DeltaState>(delta_shape_, parts_.options.rollback_tokens));
    } else {
      caches.push_back(make_kv_cache(layer, parts_));
    }
  }
  return std::make_unique<SequenceState>(std::move(caches));
}

void Qwen35Moe::forward(Workspace& workspace, std::span<const SequenceStep> steps,
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
    const FloatRows x = rms_norm(workspace, layer.mixer_norm, h);
    FloatRows mixed =
        std::visit([&](const auto& mixer) { return mix(workspace, pass, i, mixer, ropes, x); }, layer.mixer);
    if (i + 1 == layers_.size()) keep_wanted(workspace, pass, mixed, h, wanted);
    const FloatRows y = add_and_norm(workspace, mixed, h, layer.ffn_norm);
    add_rows(workspace, feed_forward(workspace, i, y), h);
    if (i + 1 < layers_.size() && parts_.config.layers[i + 1].has_moe()) {
      const Layer& next = layers_[i + 1];
      guess_experts(workspace,
                    {parts_.experts.get(), i + 1, &next.ffn_norm, &next.router, parts_.config.moe.top_k}, h);
    }
    workspace.observe(i + 1, h);
  }

  compute_logits(workspace, head_, h, parts_.config.layer_count() + 1, logits);
  pass.commit();
}

FloatRows Qwen35Moe::mix(Workspace& workspace, const Pass& pass, uint32_t i, const FullAttention& layer,
                         std::span<const RopeTables> ropes, const FloatRows& x) const {
  const LayerConfig& config = parts_.config.layers[i];
  const RopeTables& rope = ropes[config.rope];
  const uint32_t d = config.head_dim;
  const FloatRows q_and_gate = workspace.rows(x.count, layer.q.rows());
  const FloatRows k = workspace.rows(x.count, layer.k.rows());
  const FloatRows v = workspace.rows(x.count, layer.v.rows());
  {
    const auto input = workspace.prepare(x);
    workspace.multiply(
        {layer.q.times(*input, q_and_gate), layer.k.times(*input, k), layer.v.times(*input, v)});
  }
  const FloatRows q = workspace.rows(x.count, config.heads * d);
  const FloatRows gate = workspace.rows(x.count, config.heads * d);
  workspace.for_rows(x.count, 4 * size_t{q.dim}, [&](uint32_t row) {
    for (uint32_t h = 0; h < config.heads; ++h) {
      const float* from = q_and_gate.row(row) + 2 * size_t{h} * d;
      std::copy_n(from, d, q.row(row) + size_t{h} * d);
      std::copy_n(from + d, d, gate.row(row) + size_t{h} * d);
    }
  });
  prepare_heads(workspace, {{q, d, &layer.q_norm, &rope}, {k, d, &layer.k_norm, &rope}});

  const auto sequences = attention_sequences(workspace, pass, i);
  store_kv(workspace, sequences, k, v);
  const AttentionShape shape{.heads = config.heads,
                             .scale = 1.0F / std::sqrt(static_cast<float>(d)),
                             .window = config.window,
                             .sinks = {}};
  attend(workspace, shape, sequences, q, q);
  workspace.for_rows(x.count, 4 * size_t{q.dim}, [&](uint32_t row) {
    workspace.kernels().sigmoid_multiply(gate.row(row), q.dim, q.row(row));
  });

  const FloatRows out = workspace.rows(x.count, x.dim);
  const auto heads = workspace.prepare(q);
  workspace.multiply({layer.o.times(*heads, out)});
  return out;
}

FloatRows Qwen35Moe::mix(Workspace& workspace, const Pass& pass, uint32_t i, const LinearAttention& layer,
                         std::span<const RopeTables>, const FloatRows& x) const {
  const FloatRows qkv = workspace.rows(x.count, layer.qkv.rows());
  const FloatRows z = workspace.rows(x.count, layer.z.rows());
  const FloatRows a = workspace.rows(x.count, layer.a.rows());
  const FloatRows b = workspace.rows(x.count, layer.b.rows());
  {
    const auto input = workspace.prepare(x);
    // The decay's input is exponentiated and summed over the whole sequence: fp32 in both modes.
    workspace.multiply({layer.qkv.times(*input, qkv), layer.z.times(*input, z),
                        layer.a.times(*input, a, Precision::kExact),
                        layer.b.times(*input, b, Precision::kExact)});
  }
  const FloatRows o = workspace.rows(x.count, z.dim);
  gated_delta(workspace, layer.delta, pass, i, exact(), qkv, a, b, o);

  prepare_heads(workspace, {{o, delta_shape_.value_dim, &layer.norm, nullptr}});
  const kernel::GateParameters silu{.gate = kernel::Gate::kSilu, .limit = 0, .alpha = 0};
  workspace.for_rows(x.count, 4 * size_t{o.dim}, [&](uint32_t row) {
    workspace.kernels().gated_activation(silu, z.row(row), o.row(row), o.dim, o.row(row));
  });

  const FloatRows out = workspace.rows(x.count, x.dim);
  const auto heads = workspace.prepare(o);
  workspace.multiply({layer.out.times(*heads, out)});
  return out;
}

FloatRows Qwen35Moe::feed_forward(Workspace& workspace, uint32_t i, const FloatRows& x) const {
  const MoeConfig& moe = parts_.config.moe;
  const Layer& layer = layers_[i];
  const auto input = workspace.prepare(x);
  const FloatRows logits = workspace.rows(x.count, parts_.config.layers[i].experts);
  const FloatRows shared_gate = workspace.rows(x.count, 1);
  workspace.multiply({layer.router.times(*input, logits, Precision::kExact),
                      layer.shared_expert_gate.times(*input, shared_gate, Precision::kExact)});
  const Routing routing = softmax_top_k(workspace, logits, moe.top_k, moe.renormalize);
  const RoutedExperts experts{.provider = parts_.experts.get(),
                              .layer = i,
                              .expert_count = parts_.config.layers[i].experts,
                              .intermediate = moe.intermediate,
                              .activation = gate_parameters(parts_.config.activation)};
  const FloatRows out = workspace.rows(x.count, x.dim);
  const SharedExpert shared{.mlp = &layer.shared_expert, .out = workspace.rows(x.count, x.dim)};
  run_experts(workspace, experts, *input, routing, out, &shared);
  workspace.for_rows(x.count, 2 * size_t{x.dim}, [&](uint32_t row) {
    const float weight = 1.0F / (1.0F + std::exp(-shared_gate.row(row)[0]));
    workspace.kernels().axpy(weight, shared.out.row(row), x.dim, out.row(row));
  });
  return out;
}

}  // namespace mach
