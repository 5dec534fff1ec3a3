#include "model/blocks/head.h"

#include <algorithm>

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

void compute_logits(Workspace& workspace, const Head& head, const FloatRows& x, uint32_t observer_index,
                    std::span<float> logits) {
  if (x.count == 0) return;
  rms_norm(workspace, head.norm, x, x);
  workspace.observe(observer_index, x);
  const FloatRows out{logits.data(), x.count, head.projection.rows()};
  const auto input = workspace.prepare(x);
  workspace.multiply({head.projection.times(*input, out)});
  if (!head.softcap) return;
  const KernelSet& kernels = workspace.kernels();
  workspace.for_rows(out.count, 8 * size_t{out.dim},
                     [&](uint32_t row) { kernels.soft_cap(*head.softcap, out.dim, out.row(row)); });
}

}  // namespace mach
