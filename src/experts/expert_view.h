// One routed expert as a checkpoint stores it, wherever its bytes happen to be (a mapping, a staging buffer), and its
// conversion into a record (arch/expert_record.h). Rows may be any distance apart (gpt-oss interleaves gate and up), a
// matrix may be stored input-major, biases may be bf16: fill_record() turns all of that into the one form that kernels
// and sidecars use. Pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "arch/expert_record.h"
#include "experts/expert_provider.h"

namespace mach {

// Value i lies at data + i * stride.
struct VectorView {
  CodecId type = CodecId::kF32;  // kF32, kF16 or kBF16
  const std::byte* data = nullptr;
  uint64_t stride = 0;  // bytes
};

struct MatrixView {
  WeightMatrix weight;
  uint64_t col_stride =
      0;  // bytes; not 0: floats stored [cols, rows], element (r, c) at codes.row(r) + c * col_stride
  VectorView bias;  // [rows]; data is null if there is none
};

using ExpertView = std::array<MatrixView, 3>;  // by Projection

// Writes the whole record, padding included (zeros). `view` has the formats and shapes of `record`, in either order; `out`
// has record.size bytes and does not overlap the view. What is stored input-major becomes rows order.
void fill_record(const ExpertRecord& record, const ExpertView& view, std::span<std::byte> out);

// A record's bytes as matrices that point into them. `bytes` starts at a multiple of kPlaneAlignment.
ExpertWeights bind_record(const ExpertRecord& record, const std::byte* bytes) noexcept;

// The same as a view, to convert it once more.
ExpertView view_record(const ExpertRecord& record, const std::byte* bytes) noexcept;

}  // namespace mach
