#include "model/blocks/embedding.h"

#include "model/workspace.h"

namespace mach {

void embed(Workspace& workspace, const WeightMatrix& table, std::span<const int32_t> tokens, float scale,
           const FloatRows& out) {
  const KernelSet& kernels = workspace.kernels();
  const auto decode = kernels.find_format(table.format)->decode;
  workspace.for_rows(out.count, 4 * size_t{out.dim}, [&](uint32_t row) {
    decode(table, static_cast<uint32_t>(tokens[row]), out.row(row));
    if (scale != 1.0F) kernels.scale(scale, out.dim, out.row(row));
  });
}

}  // namespace mach
