#include "arch/run_memory.h"

#include <algorithm>

#include "base/checked_math.h"

namespace mach {
namespace {

// As the cache classes have them (src/model/caches).
constexpr uint64_t kBlockTokens = 64;      // PagedKv::kBlockTokens, EntryList::kBlockEntries
constexpr uint64_t kKeptStagingRows = 32;  // RingKv
constexpr uint64_t kFloat = 4;

constexpr uint64_t kThreadScratch = uint64_t{512} << 10;  // unpacked panels, attention tiles

uint64_t blocks_of(uint64_t rows) { return round_up(rows, kBlockTokens); }

// A key or a value of one head, or a latent row.
uint64_t kv_row(uint32_t dim, const RunShape& shape) {
  return kv_row_bytes(fitting_kv_element(shape.kv_element, dim), dim);
}

void add_attention(const LayerConfig& layer, const RunShape& shape, CacheMemory& out) {
  const uint64_t row = uint64_t{2} * layer.kv_heads * kv_row(layer.head_dim, shape);
  if (layer.window == 0) {
    out.paged += row * blocks_of(shape.context);
    return;
  }
  const uint64_t ring = std::max<uint64_t>(uint64_t{layer.window} - 1 + shape.rollback, 1);
  const uint64_t staged = std::max<uint64_t>(std::min(shape.prefill_chunk, shape.context), kKeptStagingRows);
  out.windows += row * (ring + kKeptStagingRows);
  out.staging += row * (staged - kKeptStagingRows);
}

void add_delta(const GatedDeltaConfig& delta, const RunShape& shape, CacheMemory& out) {
  const uint64_t state = uint64_t{delta.value_heads} * delta.key_dim * delta.value_dim;
  const uint64_t window = uint64_t{delta.conv_taps - 1} * delta.conv_channels();
  const uint64_t record =
      uint64_t{delta.conv_channels()} + delta.value_heads + delta.key_width() + delta.value_width();
  out.recurrent += (2 * state + 2 * window + shape.rollback * record) * kFloat;
}

// A ring of the last rows, and the copy of a pass's rows that commit() will put into it.
uint64_t row_ring(uint64_t row_bytes, uint64_t needed, const RunShape& shape) {
  const uint64_t capacity = needed + shape.rollback;
  const uint64_t tail = std::min<uint64_t>(std::min(shape.prefill_chunk, shape.context), capacity);
  return row_bytes * (capacity + tail);
}

// Entries of `dim` numbers in `entry` bytes, one per layer.compress_ratio tokens.
uint64_t entry_pool(const LayerConfig& layer, bool overlap, uint64_t dim, uint64_t entry,
                    const RunShape& shape) {
  const uint64_t width = overlap ? 2 * dim : dim;
  const uint64_t raw =
      row_ring(2 * width * kFloat, uint64_t{layer.compress_ratio} * (overlap ? 2 : 1), shape);
  return raw + blocks_of(shape.context / layer.compress_ratio) * entry;
}

void add_latent(const DeepSeekConfig& deepseek, const LayerConfig& layer, const RunShape& shape,
                CacheMemory& out) {
  const uint64_t row = kv_row(layer.head_dim, shape);
  out.windows += row_ring(row, layer.window - 1, shape);
  if (layer.mixer == MixerKind::kDeepSeekSliding) return;
  const bool csa = layer.mixer == MixerKind::kDeepSeekCsa;
  out.compressed += entry_pool(layer, csa, layer.head_dim, row, shape);
  if (csa)
    out.compressed +=
        entry_pool(layer, true, deepseek.index_head_dim, deepseek.index_head_dim * kFloat, shape);
}

// Floats that a token of a pass takes in a layer, up to the mixer's end; `inner` is taken only meanwhile.
struct RowFloats {
  uint64_t kept = 0;
  uint64_t inner = 0;
};

RowFloats mixer_floats(const ModelConfig& config, const LayerConfig& layer) {
  const uint64_t hidden = config.hidden_size;
  const uint64_t q = uint64_t{layer.heads} * layer.head_dim;
  const uint64_t kv = uint64_t{2} * layer.kv_heads * layer.head_dim;
  switch (layer.mixer) {
    case MixerKind::kFullAttention:
    case MixerKind::kSlidingAttention: {
      // Qwen3.5 keeps queries and gates joined and apart.
      const uint64_t queries = config.family == Family::kQwen3_5Moe ? 4 * q : q;
      return {.kept = 2 * hidden + queries + kv};
    }
    case MixerKind::kGatedDelta: {
      const GatedDeltaConfig& delta = *config.gated_delta;
      return {.kept = 2 * hidden + delta.conv_channels() + 2 * delta.value_width() + 2 * delta.value_heads,
              .inner = delta.conv_channels()};
    }
    case MixerKind::kDeepSeekSliding:
    case MixerKind::kDeepSeekCsa:
    case MixerKind::kDeepSeekHca: {
      const DeepSeekConfig& deepseek = *config.deepseek;
      RowFloats row{.kept = 2 * hidden + q + deepseek.q_lora_rank + 2 * uint64_t{layer.head_dim} +
                            uint64_t{deepseek.o_groups} * deepseek.o_lora_rank + 2 * deepseek.rope_dims};
      const bool csa = layer.mixer == MixerKind::kDeepSeekCsa;
      if (layer.compress_ratio > 0) row.kept += (csa ? 4 : 2) * uint64_t{layer.head_dim};
      if (csa) {
        row.kept += 4 * uint64_t{deepseek.index_head_dim} +
                    uint64_t{deepseek.index_heads} * (deepseek.index_head_dim + 1) + deepseek.index_topk;
      }
      return row;
    }
  }
  return {};
}

uint64_t ffn_floats(const ModelConfig& config, const LayerConfig& layer, bool grouped) {
  const uint64_t hidden = config.hidden_size;
  const MoeConfig& moe = config.moe;
  const uint64_t dense = uint64_t{2} * layer.dense_intermediate;
  const uint64_t out = 2 * hidden;  // the normed input and the result
  if (!layer.has_moe()) return out + dense;
  const uint64_t pairs = moe.top_k;
  const uint64_t logits =
      config.deepseek ? 2 * uint64_t{moe.experts} : moe.experts;  // with and without the bias
  const uint64_t between = grouped ? 0 : hidden + 2 * uint64_t{moe.intermediate};
  const uint64_t routed = logits + 2 * pairs + pairs * (between + 4);
  const uint64_t shared = moe.shared_intermediate > 0 ? hidden + 2 * uint64_t{moe.shared_intermediate} : 0;
  // Beside a dense MLP there are a second normed input, the router's, and a second output.
  const uint64_t beside = layer.ffn == FfnKind::kMoeBesideDense ? 3 * hidden : 0;
  return out + std::max(dense, routed + shared) + beside;
}

// Bytes of the int8 form of a row (kernels/activations.h): values, a scale per 32, sums per 16, 32, 64 and 128 and whole
// totals per 16; with two terms a second plane of values, and the sums of both.
uint64_t int8_row(uint64_t dim, uint32_t terms) {
  const uint64_t values = round_up(dim, 64);
  const uint64_t scales = round_up(dim, 512) / 32 * kFloat;
  uint64_t sums = values / 16;
  for (const uint64_t group : {16, 32, 64, 128}) sums += ceil_div(dim, group);
  return scales + terms * (values + sums * kFloat);
}

// Of its bf16 form; the strides of some sizes are longer.
uint64_t bf16_row(uint64_t dim, uint32_t terms) { return terms * 2 * round_up(dim, 32); }

}  // namespace

CacheMemory cache_memory(const ModelConfig& config, const RunShape& shape) {
  CacheMemory out;
  for (const LayerConfig& layer : config.layers) {
    if (layer.kv_source) continue;
    switch (layer.mixer) {
      case MixerKind::kFullAttention:
      case MixerKind::kSlidingAttention:
        add_attention(layer, shape, out);
        break;
      case MixerKind::kGatedDelta:
        add_delta(*config.gated_delta, shape, out);
        break;
      case MixerKind::kDeepSeekSliding:
      case MixerKind::kDeepSeekCsa:
      case MixerKind::kDeepSeekHca:
        add_latent(*config.deepseek, layer, shape, out);
        break;
    }
  }
  return out;
}

uint64_t scratch_memory(const ModelConfig& config, const RunShape& shape) {
  const uint64_t rows = std::min(shape.prefill_chunk, shape.context);
  const uint64_t streams = config.deepseek ? config.deepseek->streams : 1;
  uint64_t always = streams * config.hidden_size;
  for (const RopeConfig& rope : config.ropes) always += rope.rotary_dims;
  if (config.gemma) always += uint64_t{2} * config.gemma->per_layer_input * config.layer_count();
  uint64_t deepest = 0;
  uint64_t widest = config.hidden_size;
  for (const LayerConfig& layer : config.layers) {
    const RowFloats mixer = mixer_floats(config, layer);
    // Hyper-connections collapse the streams before the mixer and before the experts, from a normed copy.
    const uint64_t hyper =
        config.deepseek ? 2 * uint64_t{config.hidden_size} + 2 * streams * (streams + 2) : 0;
    const uint64_t norm = config.deepseek ? streams * config.hidden_size : 0;
    deepest = std::max({deepest, mixer.kept + mixer.inner + hyper + norm,
                        mixer.kept + ffn_floats(config, layer, shape.grouped_experts) + hyper});
    widest = std::max({widest, uint64_t{layer.heads} * layer.head_dim, uint64_t{layer.dense_intermediate}});
  }
  // Dense layers quantise and round in two terms, routed experts in one, a row per token and expert.
  const MoeConfig& moe = config.moe;
  const uint64_t int8 = shape.int8_activations
                            ? int8_row(widest, 2) + moe.top_k * int8_row(moe.intermediate, 1) +
                                  (moe.shared_intermediate > 0 ? int8_row(moe.shared_intermediate, 2) : 0)
                            : 0;
  uint64_t bf16 = 0;
  if (shape.bf16_activations) bf16 += bf16_row(widest, 2) + bf16_row(moe.shared_intermediate, 2);
  if (shape.bf16_experts) bf16 += moe.top_k * bf16_row(moe.intermediate, 1);
  return rows * ((always + deepest) * kFloat + int8 + bf16) + 2 * uint64_t{config.vocab_size} * kFloat +
         shape.threads * kThreadScratch;
}

uint64_t run_memory(const ModelConfig& config, const RunShape& shape) {
  return cache_memory(config, shape).peak() + scratch_memory(config, shape);
}

}  // namespace mach
