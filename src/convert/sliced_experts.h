// Routed experts as safetensors with one tensor per expert and projection, for artifacts without a sidecar.
#pragma once

#include <vector>

#include "convert/keep_plan.h"
#include "convert/resident_tensors.h"
#include "convert/source_checkpoint.h"

namespace mach {

// In layer order, numbered anew from 0 in each layer. The source must outlive them.
std::vector<OutputTensor> sliced_experts(const SourceCheckpoint& source, const KeptExperts& kept);

}  // namespace mach
