#include "model/blocks/gated_delta.h"

#include <algorithm>
#include <cmath>

#include "model/pass.h"
#include "model/workspace.h"

namespace mach {
namespace {

constexpr float kNormEps = 1e-6F;
constexpr uint32_t kChunk = 64;  // tokens; the triangular solve is quadratic in it

float softplus(float x) { return x > 20.0F ? x : std::log1p(std::exp(x)); }

// One sequence's rows of a pass, ready for the recurrence.
struct Scan {
  DeltaState* state = nullptr;
  uint32_t first_row = 0;
  uint32_t rows = 0;
};

// Of all rows: q, k normed (q also scaled), v convolved, and the scalars of each value head.
struct Tokens {
  const GatedDelta* layer = nullptr;
  FloatRows mixed;  // [rows, channels]: q | k | v
  FloatRows gate;   // [rows, value_heads] g = log of the decay, <= 0
  FloatRows beta;   // [rows, value_heads]
  FloatRows out;    // [rows, value_heads * value_dim]

  const DeltaShape& shape() const noexcept { return layer->shape; }
  uint32_t key_head(uint32_t h) const noexcept { return h / (shape().value_heads / shape().key_heads); }
  const float* q(uint32_t row, uint32_t h) const noexcept {
    return mixed.row(row) + size_t{key_head(h)} * shape().key_dim;
  }
  const float* k(uint32_t row, uint32_t h) const noexcept {
    return q(row, h) + size_t{shape().key_heads} * shape().key_dim;
  }
  const float* v(uint32_t row, uint32_t h) const noexcept {
    return mixed.row(row) + 2 * size_t{shape().key_heads} * shape().key_dim + size_t{h} * shape().value_dim;
  }
  float* o(uint32_t row, uint32_t h) const noexcept { return out.row(row) + size_t{h} * shape().value_dim; }
};

kernel::Rows rows_of(const float* data, size_t stride, uint32_t count) noexcept {
  return {reinterpret_cast<const std::byte*>(data), stride * sizeof(float), count};
}

// silu(causal depthwise convolution) of one token; `source(back)` is the row `back` tokens before it.
template <class Source>
void convolve_row(const KernelSet& kernels, const GatedDelta& layer, const Source& source, float* out) {
  const uint32_t channels = layer.shape.channels;
  const uint32_t taps = layer.shape.taps;
  std::fill_n(out, channels, 0.0F);
  for (uint32_t j = 0; j < taps; ++j) {
    const float* weight = layer.conv.data() + size_t{j} * channels;
    const float* row = source(taps - 1 - j);
    for (uint32_t c = 0; c < channels; ++c) out[c] += weight[c] * row[c];
  }
  kernels.silu(channels, out);
}

void normalise_heads(const KernelSet& kernels, const DeltaShape& shape, float* mixed) {
  const float q_scale = 1.0F / std::sqrt(static_cast<float>(shape.key_dim));
  for (uint32_t h = 0; h < 2 * shape.key_heads; ++h) {
    float* head = mixed + size_t{h} * shape.key_dim;
    const std::span<const float> values(head, shape.key_dim);
    const float inverse = 1.0F / std::sqrt(kernels.dot(values, values) + kNormEps);
    kernels.scale(h < shape.key_heads ? inverse * q_scale : inverse, shape.key_dim, head);
  }
}

void mix(const KernelSet& kernels, kernel::Rows rows, uint32_t n, const float* weights, float* y) {
  kernels.mix_rows_f32(rows, n, weights, rows.count, 1, y, n);
}

// One value head, token after token: S <- e^g S; delta = beta (v - S^T k); S <- S + k delta^T; o = S^T q.
void scan_recurrent(const KernelSet& kernels, const Tokens& tokens, const Scan& scan, uint32_t h,
                    float* scratch) {
  const DeltaShape& shape = tokens.shape();
  float* s = scan.state->head(h);
  const kernel::Rows state = rows_of(s, shape.value_dim, shape.key_dim);
  for (uint32_t i = 0; i < scan.rows; ++i) {
    const uint32_t row = scan.first_row + i;
    const float* k = tokens.k(row, h);
    const float* v = tokens.v(row, h);
    const float decay = std::exp(tokens.gate.row(row)[h]);
    const float beta = tokens.beta.row(row)[h];
    float* recorded = scan.state->record_delta(i, h);
    float* delta = recorded != nullptr ? recorded : scratch;
    std::fill_n(delta, shape.value_dim, 0.0F);
    mix(kernels, state, shape.value_dim, k, delta);
    for (uint32_t j = 0; j < shape.value_dim; ++j) delta[j] = beta * (v[j] - decay * delta[j]);
    for (uint32_t r = 0; r < shape.key_dim; ++r)
      kernels.scale_axpy(decay, k[r], delta, shape.value_dim, s + size_t{r} * shape.value_dim);
    float* o = tokens.o(row, h);
    std::fill_n(o, shape.value_dim, 0.0F);
    mix(kernels, state, shape.value_dim, tokens.q(row, h), o);

    if (recorded == nullptr) continue;
    *scan.state->record_decay(i, h) = decay;
    // The value heads of one key head write the same bytes only once: the first of them does.
    if (h % (shape.value_heads / shape.key_heads) == 0)
      std::copy_n(k, shape.key_dim, scan.state->record_key(i, tokens.key_head(h)));
  }
}

// Floats that scan_chunk wants.
size_t chunk_floats(const DeltaShape& shape) noexcept {
  return 2 * size_t{kChunk} * kChunk + size_t{kChunk} * (2 * shape.value_dim + shape.key_dim + 1) +
         size_t{kChunk} * shape.key_dim + kChunk;
}

// One value head over rows [first, first + n): with G the running sum of g and D_ij = exp(G_i - G_j),
//   (I + A) V' = beta V - (beta e^G K) S,   A_ij = beta_i (k_i . k_j) D_ij for j < i
//   O = (e^G Q) S + ((Q K^T) D) V',         S <- e^(G_n) S + (e^(G_n - G) K)^T V'
// Only differences of G are exponentiated, and G is summed in fp64: strongly decaying heads would lose it in fp32.
void scan_chunk(const KernelSet& kernels, const Tokens& tokens, const Scan& scan, uint32_t h, uint32_t first,
                uint32_t n, float* memory) {
  const DeltaShape& shape = tokens.shape();
  const uint32_t dk = shape.key_dim;
  const uint32_t dv = shape.value_dim;
  float* kk = memory;                           // [n, n] k_i . k_j
  float* qk = kk + size_t{kChunk} * kChunk;     // [n, n] q_i . k_j
  float* ks = qk + size_t{kChunk} * kChunk;     // [n, dv] k_i S, then V'
  float* keys = ks + size_t{kChunk} * dv;       // [n, dk] e^(G_n - G_i) k_i
  float* weights = keys + size_t{kChunk} * dk;  // [n]
  float* s = scan.state->head(h);
  const kernel::Rows state = rows_of(s, dv, dk);

  const float* k_columns[kChunk] = {};
  const float* q_columns[kChunk] = {};
  double sums[kChunk] = {};
  double sum = 0;
  for (uint32_t i = 0; i < n; ++i) {
    k_columns[i] = tokens.k(first + i, h);
    q_columns[i] = tokens.q(first + i, h);
    sum += tokens.gate.row(first + i)[h];
    sums[i] = sum;
  }
  const auto decay = [&](uint32_t i, uint32_t j) { return static_cast<float>(std::exp(sums[i] - sums[j])); };

  const kernel::Rows k_rows = rows_of(k_columns[0], tokens.mixed.dim, n);
  kernels.dot_rows_f32(k_rows, dk, k_columns, n, kk, kChunk);
  kernels.dot_rows_f32(k_rows, dk, q_columns, n, qk, kChunk);

  std::fill_n(ks, size_t{n} * dv, 0.0F);
  kernels.mix_rows_f32(state, dv, k_columns[0], tokens.mixed.dim, n, ks, dv);
  for (uint32_t i = 0; i < n; ++i) {
    float* o = tokens.o(first + i, h);
    std::fill_n(o, dv, 0.0F);
    mix(kernels, state, dv, q_columns[i], o);
    kernels.scale(static_cast<float>(std::exp(sums[i])), dv, o);
  }

  for (uint32_t i = 0; i < n; ++i) {
    const float beta = tokens.beta.row(first + i)[h];
    const float grown = static_cast<float>(std::exp(sums[i]));
    const float* v = tokens.v(first + i, h);
    float* delta = ks + size_t{i} * dv;
    for (uint32_t j = 0; j < dv; ++j) delta[j] = beta * (v[j] - grown * delta[j]);
    for (uint32_t j = 0; j < i; ++j) weights[j] = -beta * kk[size_t{i} * kChunk + j] * decay(i, j);
    mix(kernels, rows_of(ks, dv, i), dv, weights, delta);
    for (uint32_t j = 0; j <= i; ++j) weights[j] = qk[size_t{i} * kChunk + j] * decay(i, j);
    mix(kernels, rows_of(ks, dv, i + 1), dv, weights, tokens.o(first + i, h));
  }

  // Row r of S takes e^(G_n) S_r + sum_j keys[j][r] V'_j; keys are turned so that each row's weights are contiguous.
  const float last = static_cast<float>(std::exp(sums[n - 1]));
  for (uint32_t i = 0; i < n; ++i) {
    const float remaining = decay(n - 1, i);
    for (uint32_t r = 0; r < dk; ++r) keys[size_t{r} * kChunk + i] = remaining * k_columns[i][r];
  }
  kernels.scale(last, dk * dv, s);
  kernels.mix_rows_f32(rows_of(ks, dv, n), dv, keys, kChunk, dk, s, dv);
}

void scan_chunked(const KernelSet& kernels, const Tokens& tokens, const Scan& scan, uint32_t h,
                  float* memory) {
  for (uint32_t first = 0; first < scan.rows; first += kChunk) {
    scan_chunk(kernels, tokens, scan, h, scan.first_row + first, std::min(kChunk, scan.rows - first), memory);
  }
}

}  // namespace

void gated_delta(Workspace& workspace, const GatedDelta& layer, const Pass& pass, size_t cache_index,
                 bool exact, const FloatRows& qkv, const FloatRows& a, const FloatRows& b,
                 const FloatRows& out) {
  const DeltaShape& shape = layer.shape;
  const KernelSet& kernels = workspace.kernels();
  const ScratchArena::Frame frame(workspace.arena());
  const Tokens tokens{
      .layer = &layer, .mixed = workspace.rows(qkv.count, qkv.dim), .gate = a, .beta = b, .out = out};

  const auto scans = workspace.arena().take<Scan>(pass.sequences().size());
  for (size_t i = 0; i < scans.size(); ++i) {
    const PassSequence& sequence = pass.sequences()[i];
    scans[i] = {&sequence.state->layer<DeltaState>(cache_index), sequence.first_row, sequence.rows};
    scans[i].state->stage(scans[i].rows, qkv.slice(sequence.first_row, sequence.rows).span(), kernels);
  }

  for (const Scan& scan : scans) {
    workspace.for_rows(scan.rows, size_t{shape.taps + 8} * qkv.dim, [&](uint32_t i) {
      const uint32_t row = scan.first_row + i;
      const auto source = [&](uint32_t back) {
        return back <= i ? static_cast<const float*>(qkv.row(row - back)) : scan.state->window_row(back - i);
      };
      convolve_row(kernels, layer, source, tokens.mixed.row(row));
      normalise_heads(kernels, shape, tokens.mixed.row(row));
      for (uint32_t h = 0; h < shape.value_heads; ++h) {
        tokens.gate.row(row)[h] =
            -std::exp(layer.a_log[h]) * softplus(tokens.gate.row(row)[h] + layer.dt_bias[h]);
        tokens.beta.row(row)[h] = 1.0F / (1.0F + std::exp(-tokens.beta.row(row)[h]));
      }
    });
  }

  const size_t scratch = std::max<size_t>(chunk_floats(shape), shape.value_dim);
  workspace.reserve_worker_floats(scratch);
  const size_t work = size_t{qkv.count} * 3 * shape.state_floats();
  workspace.for_items(scans.size() * shape.value_heads, work, [&](size_t item, size_t worker) {
    const Scan& scan = scans[item / shape.value_heads];
    const auto h = static_cast<uint32_t>(item % shape.value_heads);
    float* memory = workspace.worker_floats(worker);
    // What may have to be taken back is recorded, and only the recurrent form makes records.
    if (exact || scan.rows < kChunk / 2 || scan.state->record_delta(0, h) != nullptr) {
      scan_recurrent(kernels, tokens, scan, h, memory);
    } else {
      scan_chunked(kernels, tokens, scan, h, memory);
    }
  });
}

}  // namespace mach
