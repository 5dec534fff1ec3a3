// RMS norms over the rows of a pass and over the heads of a projection; a thin layer over the kernel, so that
// graphs read like their specification. Statistics are fp32. A norm without weight has an empty one; a
// zero-centred weight (1 + w) has its 1 added when it is loaded.
#pragma once

#include <cstdint>
#include <span>

#include "model/blocks/rope.h"
#include "model/float_rows.h"

namespace mach {

class Workspace;

struct RmsNorm {
  std::span<const float> weight;  // [dim]; empty = none
  float eps = 0.0F;
};

// out = rms(x; norm). In place allowed (out.data == x.data).
void rms_norm(Workspace& workspace, const RmsNorm& norm, const FloatRows& x, const FloatRows& out);
FloatRows rms_norm(Workspace& workspace, const RmsNorm& norm, const FloatRows& x);  // in the arena

// h += delta, then rms(h; norm) in the arena.
FloatRows add_and_norm(Workspace& workspace, const FloatRows& delta, const FloatRows& h, const RmsNorm& norm);

// h += delta.
void add_rows(Workspace& workspace, const FloatRows& delta, const FloatRows& h);

// The heads of one projection, [rows, heads * head_dim], and what is done to each head before attention, in
// place: the norm (if any), then the rotation (if any).
struct Heads {
  FloatRows rows;
  uint32_t head_dim = 0;
  const RmsNorm* norm = nullptr;
  const RopeTables* rope = nullptr;
};
void prepare_heads(Workspace& workspace, std::initializer_list<Heads> projections);

}  // namespace mach
