// A gated MLP over all rows of a pass: SwiGLU, GeGLU and their clamped variants.
#pragma once

#include "arch/model_config.h"
#include "kernels/kernel_types.h"
#include "model/blocks/linear.h"
#include "model/float_rows.h"

namespace mach {

class Workspace;

kernel::GateParameters gate_parameters(const ExpertActivation& activation) noexcept;

// out = down(act(gate x, up x)).  x [rows, hidden], out [rows, hidden].
void run_gated_mlp(Workspace& workspace, const GatedMlp& mlp, const kernel::GateParameters& activation,
                   const Activations& x, const FloatRows& out);

}  // namespace mach
