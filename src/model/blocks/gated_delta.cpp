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

// What scan_chunk works in: [kChunk] rows each.
struct ChunkScratch {
  float* decay;    // [i, j] exp(G_i - G_j) for j <= i, 0 behind
  float* kk;       // [i, j] k_i . k_j, then -A
  float* qk;       // [i, j] q_i . k_j, then times decay
  float* delta;    // [i, value_dim] V'
  float* keys;     // [key_dim, i] e^(G_n - G_i) k_i
  float* k;        // [i, key_dim], contiguous
  float* q;        // the same
  float* o;        // [i, value_dim]
  float* grown;    // [i] e^(G_i)
  float* remains;  // [i] e^(G_n - G_i)

  static size_t floats(const DeltaShape& shape) noexcept {
    return kChunk * (3 * size_t{kChunk} + 2 * size_t{shape.value_dim} + 3 * size_t{shape.key_dim} + 2);
  }

  ChunkScratch(float* memory, const DeltaShape& shape) noexcept {
    float* next = memory;
    const auto take = [&next](size_t per_row) {
      float* taken = next;
      next += kChunk * per_row;
      return taken;
    };
    decay = take(kChunk);
    kk = take(kChunk);
    qk = take(kChunk);
    delta = take(shape.value_dim);
    keys = take(shape.key_dim);
    k = take(shape.key_dim);
    q = take(shape.key_dim);
    o = take(shape.value_dim);
    grown = take(1);
    remains = take(1);
  }
};

// Rows of V' that are solved one after the other; before them, and for all else, whole matrices are multiplied.
constexpr uint32_t kSolveRows = 8;

// V' = (I + A)^-1 V' in place; minus_a [n, n] holds -A below the diagonal.
void solve_lower(const KernelSet& kernels, const float* minus_a, uint32_t n, uint32_t dim, float* v) {
  for (uint32_t first = 0; first < n; first += kSolveRows) {
    const uint32_t count = std::min(kSolveRows, n - first);
    float* const rows = v + size_t{first} * dim;
    kernels.mix_rows_f32(rows_of(v, dim, first), dim, minus_a + size_t{first} * kChunk, kChunk, count, rows,
                         dim);
    for (uint32_t i = 1; i < count; ++i) {
      kernels.mix_rows_f32(rows_of(rows, dim, i), dim, minus_a + size_t{first + i} * kChunk + first, kChunk,
                           1, rows + size_t{i} * dim, dim);
    }
  }
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
  const ChunkScratch c(memory, shape);
  float* s = scan.state->head(h);
  const kernel::Rows state = rows_of(s, dv, dk);

  const float* k_columns[kChunk] = {};
  const float* q_columns[kChunk] = {};
  double sums[kChunk] = {};
  double sum = 0;
  for (uint32_t i = 0; i < n; ++i) {
    std::copy_n(tokens.k(first + i, h), dk, c.k + size_t{i} * dk);
    std::copy_n(tokens.q(first + i, h), dk, c.q + size_t{i} * dk);
    k_columns[i] = c.k + size_t{i} * dk;
    q_columns[i] = c.q + size_t{i} * dk;
    sum += tokens.gate.row(first + i)[h];
    sums[i] = sum;
  }
  for (uint32_t i = 0; i < n; ++i) {
    float* const row = c.decay + size_t{i} * kChunk;
    for (uint32_t j = 0; j <= i; ++j) row[j] = static_cast<float>(sums[i] - sums[j]);
    c.grown[i] = static_cast<float>(sums[i]);
    c.remains[i] = static_cast<float>(sums[n - 1] - sums[i]);
    kernels.exp(i + 1, row);
    std::fill(row + i + 1, row + n, 0.0F);
  }
  kernels.exp(n, c.grown);
  kernels.exp(n, c.remains);

  const kernel::Rows k_rows = rows_of(c.k, dk, n);
  kernels.dot_rows_f32(k_rows, dk, k_columns, n, c.kk, kChunk);
  kernels.dot_rows_f32(k_rows, dk, q_columns, n, c.qk, kChunk);
  std::fill_n(c.delta, size_t{n} * dv, 0.0F);
  std::fill_n(c.o, size_t{n} * dv, 0.0F);
  kernels.mix_rows_f32(state, dv, c.k, dk, n, c.delta, dv);
  kernels.mix_rows_f32(state, dv, c.q, dk, n, c.o, dv);

  for (uint32_t i = 0; i < n; ++i) {
    const float beta = tokens.beta.row(first + i)[h];
    const float* v = tokens.v(first + i, h);
    float* const delta = c.delta + size_t{i} * dv;
    for (uint32_t j = 0; j < dv; ++j) delta[j] = beta * (v[j] - c.grown[i] * delta[j]);
    float* const kk = c.kk + size_t{i} * kChunk;
    float* const qk = c.qk + size_t{i} * kChunk;
    kernels.multiply(c.decay + size_t{i} * kChunk, n, kk);
    kernels.multiply(c.decay + size_t{i} * kChunk, n, qk);
    kernels.scale(-beta, i, kk);
    kernels.scale(c.grown[i], dv, c.o + size_t{i} * dv);
    for (uint32_t r = 0; r < dk; ++r) c.keys[size_t{r} * kChunk + i] = c.remains[i] * k_columns[i][r];
  }
  solve_lower(kernels, c.kk, n, dv, c.delta);
  const kernel::Rows deltas = rows_of(c.delta, dv, n);
  kernels.mix_rows_f32(deltas, dv, c.qk, kChunk, n, c.o, dv);
  for (uint32_t i = 0; i < n; ++i) std::copy_n(c.o + size_t{i} * dv, dv, tokens.o(first + i, h));

  // Row r of S takes e^(G_n) S_r + sum_j keys[r][j] V'_j.
  kernels.scale(c.grown[n - 1], dk * dv, s);
  kernels.mix_rows_f32(deltas, dv, c.keys, kChunk, dk, s, dv);
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

  const size_t scratch = std::max<size_t>(ChunkScratch::floats(shape), shape.value_dim);
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
