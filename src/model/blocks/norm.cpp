#include "model/blocks/norm.h"

#include "model/workspace.h"

namespace mach {
namespace {

const float* weight_or_null(const RmsNorm& norm) noexcept {
  return norm.weight.empty() ? nullptr : norm.weight.data();
}

void prepare_row(const KernelSet& kernels, const Heads& heads, uint32_t row) noexcept {
  float* const end = heads.rows.row(row) + heads.rows.dim;
  for (float* head = heads.rows.row(row); head != end; head += heads.head_dim) {
    if (heads.norm != nullptr) {
      kernels.rms_norm(head, weight_or_null(*heads.norm), heads.norm->eps, heads.head_dim, head);
    }
    if (heads.rope != nullptr) heads.rope->rotate(row, head);
  }
}

}  // namespace

void rms_norm(Workspace& workspace, const RmsNorm& norm, const FloatRows& x, const FloatRows& out) {
  const KernelSet& kernels = workspace.kernels();
  workspace.for_rows(x.count, 2 * size_t{x.dim}, [&](uint32_t row) {
    kernels.rms_norm(x.row(row), weight_or_null(norm), norm.eps, x.dim, out.row(row));
  });
}

FloatRows rms_norm(Workspace& workspace, const RmsNorm& norm, const FloatRows& x) {
  const FloatRows out = workspace.rows(x.count, x.dim);
  rms_norm(workspace, norm, x, out);
  return out;
}

FloatRows add_and_norm(Workspace& workspace, const FloatRows& delta, const FloatRows& h,
                       const RmsNorm& norm) {
  const KernelSet& kernels = workspace.kernels();
  const FloatRows out = workspace.rows(h.count, h.dim);
  workspace.for_rows(h.count, 4 * size_t{h.dim}, [&](uint32_t row) {
    kernels.add(delta.row(row), h.dim, h.row(row));
    kernels.rms_norm(h.row(row), weight_or_null(norm), norm.eps, h.dim, out.row(row));
  });
  return out;
}

void add_rows(Workspace& workspace, const FloatRows& delta, const FloatRows& h) {
  const KernelSet& kernels = workspace.kernels();
  workspace.for_rows(h.count, 2 * size_t{h.dim},
                     [&](uint32_t row) { kernels.add(delta.row(row), h.dim, h.row(row)); });
}

void prepare_heads(Workspace& workspace, std::initializer_list<Heads> projections) {
  const KernelSet& kernels = workspace.kernels();
  uint32_t rows = 0;
  size_t floats = 0;
  for (const Heads& heads : projections) {
    if (heads.norm == nullptr && heads.rope == nullptr) continue;
    rows = heads.rows.count;
    floats += 4 * size_t{heads.rows.dim};
  }
  workspace.for_rows(rows, floats, [&](uint32_t row) {
    for (const Heads& heads : projections) prepare_row(kernels, heads, row);
  });
}

}  // namespace mach
