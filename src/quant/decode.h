// Scalar decoding of weight rows: the definition of every codec's values, against which kernels are tested. Arithmetic is
// fp32 in the order written here, so kernels can reproduce it bit for bit:
//   affine   fma(scale, q, bias)
//   mxfp4    E2M1 * 2^e            (exact)
//   mxfp8    E4M3 * 2^e            (exact)
//   nvfp4    (E2M1 * E4M3 scale) * global_scale
//   fp8      E4M3 * scale
// A global_scale other than 1 multiplies last, in every codec. Source: MLX, OCP Microscaling v1.0.
#pragma once

#include <cstdint>
#include <span>

#include "quant/weight.h"

namespace mach {

// out [cols] fp32, from either order. The format must have passed check_format; row < rows.
void decode_row(const WeightMatrix& weight, uint32_t row, std::span<float> out) noexcept;

// One scale (or bias) as fp32. kNone gives 1.
float load_scale(ScaleType type, const std::byte* scales, uint64_t index) noexcept;

// Code i of a bit stream of `bits`-wide codes (at most 8 bits).
uint32_t load_code(const std::byte* codes, uint64_t index, uint32_t bits) noexcept;

}  // namespace mach
