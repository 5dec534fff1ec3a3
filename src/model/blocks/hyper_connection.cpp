#include "model/blocks/hyper_connection.h"

#include <algorithm>
#include <cmath>

#include "model/workspace.h"

namespace mach {
namespace {

float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

// z [rows, rows of fn] = urms(all streams of a token) fn^T.
FloatRows stream_weights(Workspace& workspace, const HyperConnectionShape& shape,
                         const HyperConnection& connection, const FloatRows& streams) {
  const FloatRows z = workspace.rows(streams.count, connection.fn.rows());
  const ScratchArena::Frame frame(workspace.arena());
  const FloatRows normed = rms_norm(workspace, RmsNorm{{}, shape.norm_eps}, streams);
  const auto input = workspace.prepare(normed);
  workspace.multiply({connection.fn.times(*input, z, Precision::kExact)});
  return z;
}

// sum over j of weights[j] X_j of one token.
void weighted_sum(const KernelSet& kernels, const HyperConnectionShape& shape, const float* weights,
                  const float* streams, float* out) {
  std::copy_n(streams, shape.hidden, out);
  kernels.scale(weights[0], shape.hidden, out);
  for (uint32_t j = 1; j < shape.streams; ++j)
    kernels.axpy(weights[j], streams + size_t{j} * shape.hidden, shape.hidden, out);
}

// Divides every line of c [m, m] by its sum + eps: rows (line_step m, step 1) or columns (line_step 1, step m).
void normalise(float* c, uint32_t m, uint32_t line_step, uint32_t step, float eps) {
  for (uint32_t line = 0; line < m; ++line) {
    float* first = c + size_t{line} * line_step;
    float sum = eps;
    for (uint32_t i = 0; i < m; ++i) sum += first[size_t{i} * step];
    for (uint32_t i = 0; i < m; ++i) first[size_t{i} * step] /= sum;
  }
}

// Softmax of each row plus eps, then columns and rows in turn; columns first and last.
void sinkhorn(const KernelSet& kernels, const HyperConnectionShape& shape, float* c) {
  const uint32_t m = shape.streams;
  for (uint32_t j = 0; j < m; ++j) kernels.softmax(nullptr, m, c + size_t{j} * m);
  for (uint32_t i = 0; i < m * m; ++i) c[i] += shape.eps;
  normalise(c, m, 1, m, shape.eps);
  for (uint32_t i = 1; i < shape.sinkhorn_iterations; ++i) {
    normalise(c, m, m, 1, shape.eps);
    normalise(c, m, 1, m, shape.eps);
  }
}

}  // namespace

StreamInput collapse_streams(Workspace& workspace, const HyperConnectionShape& shape,
                             const HyperConnection& connection, const FloatRows& streams) {
  const uint32_t m = shape.streams;
  const KernelSet& kernels = workspace.kernels();
  const StreamInput input{.x = workspace.rows(streams.count, shape.hidden),
                          .mix = {workspace.rows(streams.count, m), workspace.rows(streams.count, m * m)}};
  const FloatRows z = stream_weights(workspace, shape, connection, streams);
  const auto& base = connection.base;
  const auto& scale = connection.scale;
  workspace.for_rows(streams.count, 2 * size_t{streams.dim} + 1024, [&](uint32_t row) {
    float* pre = z.row(row);
    float* post = input.mix.post.row(row);
    float* comb = input.mix.comb.row(row);
    for (uint32_t j = 0; j < m * m; ++j) comb[j] = pre[2 * m + j] * scale[2] + base[2 * m + j];
    for (uint32_t j = 0; j < m; ++j) post[j] = 2.0F * sigmoid(pre[m + j] * scale[1] + base[m + j]);
    for (uint32_t j = 0; j < m; ++j) pre[j] = sigmoid(pre[j] * scale[0] + base[j]) + shape.eps;
    sinkhorn(kernels, shape, comb);
    weighted_sum(kernels, shape, pre, streams.row(row), input.x.row(row));
  });
  return input;
}

void mix_streams(Workspace& workspace, const HyperConnectionShape& shape, const StreamMix& mix,
                 const FloatRows& out, const FloatRows& streams) {
  const uint32_t m = shape.streams;
  const uint32_t hidden = shape.hidden;
  const KernelSet& kernels = workspace.kernels();
  workspace.reserve_worker_floats(streams.dim);
  workspace.for_items(streams.count, size_t{streams.count} * streams.dim * (m + 2),
                      [&](size_t row, size_t worker) {
                        float* x = streams.row(row);
                        float* old = workspace.worker_floats(worker);
                        std::copy_n(x, streams.dim, old);
                        for (uint32_t k = 0; k < m; ++k) {
                          float* to = x + size_t{k} * hidden;
                          std::copy_n(out.row(row), hidden, to);
                          kernels.scale(mix.post.row(row)[k], hidden, to);
                          for (uint32_t j = 0; j < m; ++j)
                            kernels.axpy(mix.comb.row(row)[j * m + k], old + size_t{j} * hidden, hidden, to);
                        }
                      });
}

FloatRows collapse_for_head(Workspace& workspace, const HyperConnectionShape& shape,
                            const HyperConnection& connection, const FloatRows& streams) {
  const KernelSet& kernels = workspace.kernels();
  const FloatRows out = workspace.rows(streams.count, shape.hidden);
  const FloatRows z = stream_weights(workspace, shape, connection, streams);
  workspace.for_rows(streams.count, 2 * size_t{streams.dim}, [&](uint32_t row) {
    float* pre = z.row(row);
    for (uint32_t j = 0; j < shape.streams; ++j)
      pre[j] = sigmoid(pre[j] * connection.scale[0] + connection.base[j]) + shape.eps;
    weighted_sum(kernels, shape, pre, streams.row(row), out.row(row));
  });
  return out;
}

}  // namespace mach
