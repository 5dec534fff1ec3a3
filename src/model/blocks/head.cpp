#include "model/blocks/head.h"

#include <algorithm>

#include "base/block_maxima.h"
#include "model/pass.h"
#include "model/workspace.h"

namespace mach {

FloatRows gather_rows(Workspace& workspace, const FloatRows& x, std::span<const uint32_t> rows) {
  const FloatRows out = workspace.rows(static_cast<uint32_t>(rows.size()), x.dim);
  for (uint32_t i = 0; i < out.count; ++i) std::copy_n(x.row(rows[i]), x.dim, out.row(i));
  return out;
}

void keep_wanted(Workspace& workspace, const Pass& pass, FloatRows& mixed, FloatRows& h,
                 const FloatRows& wanted) {
  const auto rows = pass.wanted_rows();
  if (rows.size() != h.count) mixed = gather_rows(workspace, mixed, rows);
  for (uint32_t i = 0; i < wanted.count; ++i) std::copy_n(h.row(rows[i]), h.dim, wanted.row(i));
  h = wanted;
}

namespace {

constexpr uint32_t kComputedAgain = 32;
constexpr uint32_t kAtMost = 256;  // where more logits are equal

// Replaces the largest logits of one row. scratch [2 * blocks + hidden].
void refine_largest(const KernelSet& kernels, const Head& head, std::span<const float> x,
                    std::span<float> logits, float* scratch) {
  const WeightMatrix& stored = head.stored;
  const size_t blocks = maxima_count(logits.size());
  const std::span<float> maxima(scratch, blocks);
  const std::span<float> sorted(scratch + blocks, blocks);
  float* weights = scratch + 2 * blocks;
  find_block_maxima(logits, maxima);
  std::copy(maxima.begin(), maxima.end(), sorted.begin());
  const float least = kth_largest(sorted, std::min<size_t>(kComputedAgain, blocks));

  const auto decode = kernels.find_format(stored.format)->decode;
  uint32_t done = 0;
  for (size_t b = 0; b < blocks; ++b) {
    if (maxima[b] < least) continue;
    for (size_t i = b * kMaximaBlock; i < std::min((b + 1) * kMaximaBlock, logits.size()); ++i) {
      if (!(logits[i] >= least) || done == kAtMost) continue;
      decode(stored, static_cast<uint32_t>(i), weights);
      logits[i] = kernels.dot(x, std::span<const float>(weights, x.size())) +
                  (head.projection.bias.empty() ? 0.0F : head.projection.bias[i]);
      ++done;
    }
  }
}

}  // namespace

void compute_logits(Workspace& workspace, const Head& head, const FloatRows& x, uint32_t observer_index,
                    std::span<float> logits) {
  if (x.count == 0) return;
  rms_norm(workspace, head.norm, x, x);
  workspace.observe(observer_index, x);
  const FloatRows out{logits.data(), x.count, head.projection.rows()};
  const auto input = workspace.prepare(x);
  workspace.multiply({head.projection.times(*input, out)});
  const KernelSet& kernels = workspace.kernels();
  if (head.stored.codes.data != nullptr && head.stored.format != head.projection.weight.format) {
    workspace.reserve_worker_floats(2 * maxima_count(out.dim) + x.dim);
    workspace.for_items(out.count, 2 * out.span().size(), [&](size_t row, size_t worker) {
      refine_largest(kernels, head, x.row_span(row), out.row_span(row), workspace.worker_floats(worker));
    });
  }
  if (!head.softcap) return;
  workspace.for_rows(out.count, 8 * size_t{out.dim},
                     [&](uint32_t row) { kernels.soft_cap(*head.softcap, out.dim, out.row(row)); });
}

}  // namespace mach
