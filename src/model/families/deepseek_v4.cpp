#include "model/families/deepseek_v4.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "model/blocks/dense_mlp.h"
#include "model/blocks/embedding.h"
#include "model/blocks/moe.h"
#include "model/blocks/round_trip.h"
#include "model/blocks/router.h"
#include "model/pass.h"
#include "model/workspace.h"

namespace mach {
namespace {

// Blocks of the official FP8 round trips.
constexpr uint32_t kLatentBlock = 64;
constexpr uint32_t kInputBlock = 128;

void index_round_trip(std::span<float> values) {
  hadamard(values);
  fp4_round_trip(values);
}

bool is_fp8_or_fp4(const WeightFormat& format) noexcept {
  return format.codec == CodecId::kFp8Block || format.codec == CodecId::kMxFp8 ||
         format.codec == CodecId::kMxFp4;
}

// Rows as the input of FP8 and FP4 linears: as they are, or in a copy rounded to FP8. The copy lies in the arena's
// current frame.
class LinearInput {
 public:
  LinearInput(Workspace& workspace, const FloatRows& x, const Activations& plain, bool rounded)
      : used_(&plain) {
    if (!rounded) return;
    const FloatRows copy = workspace.rows(x.count, x.dim);
    std::copy_n(x.data, size_t{x.count} * x.dim, copy.data);
    for (uint32_t row = 0; row < copy.count; ++row) fp8_round_trip(copy.row_span(row), kInputBlock);
    used_ = &*rounded_.emplace(workspace.prepare(copy));
  }
  const Activations& operator*() const noexcept { return *used_; }

 private:
  std::optional<Workspace::PreparedRows> rounded_;
  const Activations* used_;
};

}  // namespace

std::unique_ptr<Model> make_deepseek_v4(ModelParts parts) {
  return std::make_unique<DeepSeekV4>(std::move(parts));
}

DeepSeekV4::DeepSeekV4(ModelParts parts)
    : parts_(std::move(parts)),
      hc_{.streams = parts_.config.deepseek->streams,
          .hidden = parts_.config.hidden_size,
          .sinkhorn_iterations = parts_.config.deepseek->sinkhorn_iters,
          .norm_eps = parts_.config.rms_norm_eps,
          .eps = parts_.config.deepseek->hc_eps},
      embedding_(parts_.weights->matrix("embed_tokens")),
      ropes_(make_ropes(parts_.config)),
      head_hc_{.fn = parts_.weights->linear("hc_head.hc_fn", Precision::kExact),
               .base = parts_.weights->vector("hc_head.hc_base"),
               .scale = parts_.weights->vector("hc_head.hc_scale")},
      head_{.norm = {parts_.weights->vector("norm"), parts_.config.rms_norm_eps},
            .projection = parts_.weights->linear("lm_head"),
            .softcap = {}} {
  for (uint32_t i = 0; i < parts_.config.layer_count(); ++i) layers_.push_back(bind_layer(i));
}

HyperConnection DeepSeekV4::bind_hyper_connection(const std::string& prefix) const {
  WeightStore& weights = *parts_.weights;
  return {.fn = weights.linear(prefix + "fn", Precision::kExact),
          .base = weights.vector(prefix + "base"),
          .scale = weights.vector(prefix + "scale")};
}

Compressor DeepSeekV4::bind_compressor(const std::string& prefix, const PoolShape& shape,
                                       uint32_t rope) const {
  WeightStore& weights = *parts_.weights;
  return {.shape = shape,
          .content = weights.linear(prefix + "kv_proj", Precision::kExact),
          .gate = weights.linear(prefix + "gate_proj", Precision::kExact),
          .position_bias = weights.vector(prefix + "position_bias"),
          .norm = {weights.vector(prefix + "kv_norm"), parts_.config.rms_norm_eps},
          .rope = &ropes_[rope]};
}

CompressedShape DeepSeekV4::cache_shape(const LayerConfig& layer) const {
  const DeepSeekConfig& deepseek = *parts_.config.deepseek;
  const KvElement element = fitting_kv_element(parts_.options.kv_element, layer.head_dim);
  const bool csa = layer.mixer == MixerKind::kDeepSeekCsa;
  CompressedShape shape{.head_dim = layer.head_dim, .window = layer.window, .element = element};
  if (layer.mixer != MixerKind::kDeepSeekSliding) {
    shape.entries =
        PoolShape{.ratio = layer.compress_ratio, .overlap = csa, .dim = layer.head_dim, .element = element};
  }
  // The indexer's keys decide which entries are seen at all: they stay fp32.
  if (csa) {
    shape.index = PoolShape{.ratio = layer.compress_ratio, .overlap = true, .dim = deepseek.index_head_dim};
  }
  return shape;
}

DeepSeekV4::Layer DeepSeekV4::bind_layer(uint32_t i) const {
  WeightStore& weights = *parts_.weights;
  const LayerConfig& config = parts_.config.layers[i];
  const DeepSeekConfig& deepseek = *parts_.config.deepseek;
  const float eps = parts_.config.rms_norm_eps;
  const std::string layer = "layers." + std::to_string(i) + ".";
  const std::string attn = layer + "self_attn.";
  Layer bound{.attention_hc = bind_hyper_connection(layer + "attn_hc."),
              .ffn_hc = bind_hyper_connection(layer + "ffn_hc."),
              .attention_norm = {weights.vector(layer + "input_layernorm"), eps},
              .ffn_norm = {weights.vector(layer + "post_attention_layernorm"), eps},
              .q_a = weights.linear(attn + "q_a_proj"),
              .q_b = weights.linear(attn + "q_b_proj"),
              .kv = weights.linear(attn + "kv_proj"),
              .q_a_norm = {weights.vector(attn + "q_a_norm"), eps},
              .kv_norm = {weights.vector(attn + "kv_norm"), eps},
              .o_a = weights.row_groups(attn + "o_a_proj", deepseek.o_groups),
              .o_b = weights.linear(attn + "o_b_proj"),
              .sinks = weights.vector(attn + "sinks"),
              .compressor = {},
              .indexer = {},
              .router = weights.linear(layer + "mlp.gate", Precision::kExact),
              .router_bias = {},
              .experts_of_token = {},
              .shared_expert = weights.gated_mlp(layer + "mlp.shared_experts")};
  const CompressedShape shape = cache_shape(config);
  if (shape.entries) bound.compressor = bind_compressor(attn + "compressor.", *shape.entries, config.rope);
  if (shape.index) {
    const std::string indexer = attn + "compressor.indexer.";
    bound.indexer =
        Indexer{.keys = bind_compressor(indexer, *shape.index, deepseek.index_rope),
                .q = weights.linear(indexer + "q_b_proj"),
                .head_weights = weights.linear(indexer + "scorer.weights_proj", Precision::kExact)};
  }
  if (config.hash_routed) {
    bound.experts_of_token = weights.ids(layer + "mlp.gate.tid2eid", config.experts);
  } else {
    bound.router_bias = weights.vector(layer + "mlp.gate.e_score_correction_bias");
  }
  return bound;
}

std::unique_ptr<SequenceState> DeepSeekV4::new_state() const {
  std::vector<std::unique_ptr<LayerCache>> caches;
  for (const LayerConfig& layer : parts_.config.layers)
    caches.push_back(std::make_unique<CompressedKv>(cache_shape(layer), parts_.options.rollback_tokens));
  return std::make_unique<SequenceState>(std::move(caches));
}

void DeepSeekV4::forward(Workspace& workspace, std::span<const SequenceStep> steps,
                         std::span<float> logits) const {
  workspace.set_numerics(parts_.options.numerics);
  Pass pass(workspace, parts_.config, steps, logits);
  const FloatRows streams = workspace.rows(pass.rows(), hc_.streams * hc_.hidden);
  {
    const ScratchArena::Frame frame(workspace.arena());
    const FloatRows embedded = workspace.rows(pass.rows(), hc_.hidden);
    embed(workspace, embedding_, pass.tokens(), 1.0F, embedded);
    for (uint32_t row = 0; row < streams.count; ++row) {
      for (uint32_t m = 0; m < hc_.streams; ++m)
        std::copy_n(embedded.row(row), hc_.hidden, streams.row(row) + size_t{m} * hc_.hidden);
    }
  }
  workspace.observe(0, streams);

  const auto ropes = make_rope_tables(workspace, pass, ropes_);
  for (uint32_t i = 0; i < layers_.size(); ++i) {
    const ScratchArena::Frame frame(workspace.arena());
    const Layer& layer = layers_[i];
    {
      const auto [x, mix] = collapse_streams(workspace, hc_, layer.attention_hc, streams);
      rms_norm(workspace, layer.attention_norm, x, x);
      mix_streams(workspace, hc_, mix, attention(workspace, pass, i, ropes, x), streams);
    }
    const auto [x, mix] = collapse_streams(workspace, hc_, layer.ffn_hc, streams);
    rms_norm(workspace, layer.ffn_norm, x, x);
    mix_streams(workspace, hc_, mix, feed_forward(workspace, pass, i, x), streams);
    workspace.observe(i + 1, streams);
  }

  const FloatRows wanted = gather_rows(workspace, streams, pass.wanted_rows());
  const FloatRows collapsed = collapse_for_head(workspace, hc_, head_hc_, wanted);
  compute_logits(workspace, head_, collapsed, parts_.config.layer_count() + 1, logits);
  pass.commit();
}

// Queries come from a low-rank projection; one latent row per token is key and value of every head. Values carry the
// rotation of their position, so the output is turned back by the query's.
FloatRows DeepSeekV4::attention(Workspace& workspace, const Pass& pass, uint32_t i,
                                std::span<const RopeTables> ropes, const FloatRows& x) const {
  const LayerConfig& config = parts_.config.layers[i];
  const Layer& layer = layers_[i];
  const RopeTables& rope = ropes[config.rope];
  const FloatRows q = workspace.rows(x.count, layer.q_b.rows());
  ChosenEntries chosen;
  {
    const auto plain = workspace.prepare(x);
    const LinearInput input(workspace, x, *plain, rounds_input(layer.q_a));
    const FloatRows low_rank = workspace.rows(x.count, layer.q_a.rows());
    workspace.multiply({layer.q_a.times(*input, low_rank)});
    rms_norm(workspace, layer.q_a_norm, low_rank, low_rank);
    const auto plain_low_rank = workspace.prepare(low_rank);
    const LinearInput queries_input(workspace, low_rank, *plain_low_rank, rounds_input(layer.q_b));
    workspace.multiply({layer.q_b.times(*queries_input, q)});
    store_latent(workspace, pass, i, rope, *input);
    if (layer.compressor) {
      EntryFilter filter;
      if (parts_.options.official_round_trips) {
        filter = [plain = config.head_dim - parts_.config.deepseek->rope_dims](std::span<float> entry) {
          fp8_round_trip(entry.first(plain), kLatentBlock);
        };
      }
      extend_entries(workspace, *layer.compressor, pass, i, &CompressedKv::entries, *plain, filter);
    }
    if (layer.indexer) {
      chosen = choose_entries(workspace, pass, i, ropes[parts_.config.deepseek->index_rope], *plain,
                              *queries_input);
    }
  }
  const RmsNorm weightless{{}, parts_.config.rms_norm_eps};
  prepare_heads(workspace, {{q, config.head_dim, &weightless, &rope}});

  const LatentShape shape{.heads = config.heads,
                          .head_dim = config.head_dim,
                          .window = config.window,
                          .scale = 1.0F / std::sqrt(static_cast<float>(config.head_dim)),
                          .sinks = layer.sinks};
  attend_latent(workspace, shape, pass, i, chosen, q, q);
  for (const PassSequence& sequence : pass.sequences()) sequence.state->layer<CompressedKv>(i).seal();

  const RopeTables turn_back = ropes_[config.rope].tables(workspace, pass.positions(), true);
  prepare_heads(workspace, {{q, config.head_dim, nullptr, &turn_back}});
  return project_output(workspace, i, q);
}

void DeepSeekV4::store_latent(Workspace& workspace, const Pass& pass, uint32_t i, const RopeTables& rope,
                              const Activations& x) const {
  const LayerConfig& config = parts_.config.layers[i];
  const Layer& layer = layers_[i];
  const FloatRows kv = workspace.rows(x.count(), layer.kv.rows());
  workspace.multiply({layer.kv.times(x, kv)});
  prepare_heads(workspace, {{kv, config.head_dim, &layer.kv_norm, &rope}});
  if (parts_.options.official_round_trips) {
    const uint32_t plain = config.head_dim - parts_.config.deepseek->rope_dims;
    for (uint32_t row = 0; row < kv.count; ++row) fp8_round_trip(kv.row_span(row).first(plain), kLatentBlock);
  }
  const CompressedShape shape = cache_shape(config);
  const KvElement element = shape.element;
  const size_t row_bytes = shape.row_bytes();
  const auto bytes = workspace.arena().take<std::byte>(row_bytes * kv.count);
  for (uint32_t row = 0; row < kv.count; ++row)
    store_kv_row(workspace.kernels(), element, kv.row_span(row), &bytes[row_bytes * row]);
  for (const PassSequence& sequence : pass.sequences()) {
    sequence.state->layer<CompressedKv>(i).window().attach(&bytes[row_bytes * sequence.first_row],
                                                           sequence.rows);
  }
}

// score(t, w) = sum over heads of g_n relu(y_n . key_w) / sqrt(dim), of the entries that t may see; the index_topk
// largest, of equal ones the earlier. While no query sees more than that nothing needs to be scored.
ChosenEntries DeepSeekV4::choose_entries(Workspace& workspace, const Pass& pass, uint32_t i,
                                         const RopeTables& rope, const Activations& x,
                                         const Activations& low_rank) const {
  const DeepSeekConfig& deepseek = *parts_.config.deepseek;
  const Indexer& indexer = *layers_[i].indexer;
  const bool official = parts_.options.official_round_trips;
  extend_entries(workspace, indexer.keys, pass, i, &CompressedKv::index, x,
                 official ? EntryFilter(index_round_trip) : EntryFilter());

  uint32_t most = 0;
  for (const PassSequence& sequence : pass.sequences()) {
    const EntryPool& pool = *sequence.state->layer<CompressedKv>(i).index();
    most = std::max(most, pool.closed_at(sequence.position + sequence.rows));
  }
  if (most <= deepseek.index_topk) return {};

  const uint32_t dim = deepseek.index_head_dim;
  const uint32_t heads = deepseek.index_heads;
  const FloatRows y = workspace.rows(x.count(), heads * dim);
  const FloatRows g = workspace.rows(x.count(), heads);
  workspace.multiply({indexer.q.times(low_rank, y), indexer.head_weights.times(x, g, Precision::kExact)});
  prepare_heads(workspace, {{y, dim, nullptr, &rope}});
  if (official) {
    for (uint32_t row = 0; row < y.count; ++row) {
      for (uint32_t n = 0; n < heads; ++n) index_round_trip(y.row_span(row).subspan(size_t{n} * dim, dim));
    }
  }

  const auto lists = workspace.arena().take<std::span<const uint32_t>>(x.count());
  const auto storage = workspace.arena().take<uint32_t>(size_t{x.count()} * deepseek.index_topk);
  const KernelSet& kernels = workspace.kernels();
  const float scale = 1.0F / (std::sqrt(static_cast<float>(heads)) * std::sqrt(static_cast<float>(dim)));
  workspace.reserve_worker_floats(size_t{most} * (heads + 2));
  for (const PassSequence& sequence : pass.sequences()) {
    const EntryPool& pool = *sequence.state->layer<CompressedKv>(i).index();
    workspace.for_items(
        sequence.rows, size_t{sequence.rows} * most * heads * dim, [&](size_t t, size_t worker) {
          const auto row = static_cast<uint32_t>(sequence.first_row + t);
          const uint32_t visible = pool.closed_at(static_cast<uint32_t>(sequence.position + t + 1));
          lists[row] = {};
          if (visible <= deepseek.index_topk) return;
          float* const match = workspace.worker_floats(worker);  // [heads, visible]
          float* const score = match + size_t{most} * heads;
          auto* const order = reinterpret_cast<uint32_t*>(score + most);
          std::vector<const float*> queries(heads);
          for (uint32_t n = 0; n < heads; ++n) queries[n] = y.row(row) + size_t{n} * dim;
          for (uint32_t w = 0; w < visible; w += EntryList::kBlockEntries) {
            const uint32_t count = std::min(EntryList::kBlockEntries, visible - w);
            kernels.dot_rows_f32({pool.entries().row(w), pool.shape().entry_bytes(), count}, dim,
                                 queries.data(), heads, match + w, visible);
          }
          std::fill_n(score, visible, 0.0F);
          for (uint32_t n = 0; n < heads; ++n) {
            float* const m = match + size_t{n} * visible;
            for (uint32_t w = 0; w < visible; ++w) m[w] = std::max(m[w], 0.0F);
            kernels.axpy(g.row(row)[n] * scale, m, visible, score);
          }
          std::iota(order, order + visible, 0U);
          const auto before = [&](uint32_t a, uint32_t b) {
            return score[a] != score[b] ? score[a] > score[b] : a < b;
          };
          std::nth_element(order, order + deepseek.index_topk, order + visible, before);
          uint32_t* const list = &storage[size_t{row} * deepseek.index_topk];
          std::copy_n(order, deepseek.index_topk, list);
          std::sort(list, list + deepseek.index_topk);
          lists[row] = {list, deepseek.index_topk};
        });
  }
  return {lists};
}

// Each group of heads has its own down-projection; their results side by side go through o_b.
FloatRows DeepSeekV4::project_output(Workspace& workspace, uint32_t i, const FloatRows& o) const {
  const Layer& layer = layers_[i];
  const auto groups = static_cast<uint32_t>(layer.o_a.size());
  const uint32_t width = o.dim / groups;
  const uint32_t rank = layer.o_a.front().rows();
  const FloatRows u = workspace.rows(o.count, groups * rank);
  {
    std::vector<Workspace::PreparedRows> inputs;
    std::vector<Product> products;
    inputs.reserve(groups);
    for (uint32_t g = 0; g < groups; ++g) {
      inputs.push_back(workspace.prepare(o.data + size_t{g} * width, o.count, width, o.dim));
      Product product = layer.o_a[g].times(*inputs.back(), u);
      product.y = u.data + size_t{g} * rank;
      products.push_back(product);
    }
    workspace.multiply(products);
  }
  const FloatRows out = workspace.rows(o.count, hc_.hidden);
  const auto plain = workspace.prepare(u);
  const LinearInput input(workspace, u, *plain, rounds_input(layer.o_b));
  workspace.multiply({layer.o_b.times(*input, out)});
  return out;
}

// Official's o_a takes its input unrounded, and the router, compressors and scorer have no low-bit weights.
bool DeepSeekV4::rounds_input(const Linear& linear) const noexcept {
  return parts_.options.official_round_trips && is_fp8_or_fp4(linear.weight.format);
}

FloatRows DeepSeekV4::feed_forward(Workspace& workspace, const Pass& pass, uint32_t i,
                                   const FloatRows& x) const {
  const MoeConfig& moe = parts_.config.moe;
  const Layer& layer = layers_[i];
  const auto plain = workspace.prepare(x);
  const FloatRows logits = workspace.rows(x.count, parts_.config.layers[i].experts);
  workspace.multiply({layer.router.times(*plain, logits, Precision::kExact)});
  std::span<uint32_t> by_token;
  if (!layer.experts_of_token.ids.empty()) {
    by_token = workspace.arena().take<uint32_t>(size_t{x.count} * moe.top_k);
    for (uint32_t row = 0; row < x.count; ++row) {
      const auto experts = layer.experts_of_token.row(static_cast<size_t>(pass.tokens()[row]));
      std::copy_n(experts.begin(), moe.top_k, &by_token[size_t{row} * moe.top_k]);
    }
  }
  const Routing routing =
      sqrt_softplus_top_k(workspace, logits, moe.top_k, layer.router_bias, by_token, moe.routed_scale);

  // Routed experts are FP4 or FP8 wherever the shared one is FP8.
  const bool rounded = rounds_input(layer.shared_expert.down);
  const RoutedExperts experts{.provider = parts_.experts.get(),
                              .layer = i,
                              .expert_count = parts_.config.layers[i].experts,
                              .intermediate = moe.intermediate,
                              .activation = gate_parameters(parts_.config.activation),
                              .fp8_input_block = rounded ? kInputBlock : 0};
  const LinearInput input(workspace, x, *plain, rounded);
  const FloatRows out = workspace.rows(x.count, x.dim);
  const SharedExpert shared{.mlp = &layer.shared_expert, .out = workspace.rows(x.count, x.dim)};
  run_experts(workspace, experts, *input, routing, out, &shared);
  add_rows(workspace, shared.out, out);
  return out;
}

}  // namespace mach
