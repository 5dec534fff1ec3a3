#include "model/blocks/dense_mlp.h"

#include "model/workspace.h"

namespace mach {
namespace {

kernel::Gate gate_of(ActivationKind kind) noexcept {
  switch (kind) {
    case ActivationKind::kPlainSwiglu:
      return kernel::Gate::kSilu;
    case ActivationKind::kSiluLimited:
      return kernel::Gate::kSiluLimited;
    case ActivationKind::kPlainGeglu:
      return kernel::Gate::kGeluTanh;
    case ActivationKind::kClampedSwiglu:
      return kernel::Gate::kSwigluOai;
  }
  return kernel::Gate::kSilu;
}

}  // namespace

kernel::GateParameters gate_parameters(const ExpertActivation& activation) noexcept {
  return {.gate = gate_of(activation.kind), .limit = activation.limit, .alpha = activation.alpha};
}

void run_gated_mlp(Workspace& workspace, const GatedMlp& mlp, const kernel::GateParameters& activation,
                   const Activations& x, const FloatRows& out) {
  const ScratchArena::Frame frame(workspace.arena());
  const FloatRows gate = workspace.rows(x.count(), mlp.gate.rows());
  const FloatRows up = workspace.rows(x.count(), mlp.up.rows());
  workspace.multiply({mlp.gate.times(x, gate), mlp.up.times(x, up)});
  const KernelSet& kernels = workspace.kernels();
  workspace.for_rows(gate.count, 8 * size_t{gate.dim}, [&](uint32_t row) {
    kernels.gated_activation(activation, gate.row(row), up.row(row), gate.dim, gate.row(row));
  });
  const auto inner = workspace.prepare(gate);
  workspace.multiply({mlp.down.times(*inner, out)});
}

}  // namespace mach
