// Routed experts over the rows of a prompt, in int8: many matrices, each for some of the rows. Beside multiply()
// (kernels/product.h) these two keep intermediate results in caches: of gate and up only the quantised activation leaves
// a worker, and outputs of down are added to their rows where they are computed.
//
// Bits are those of multiply() followed by the same elementwise steps, for any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/function_ref.h"
#include "kernels/activations.h"
#include "kernels/compute.h"
#include "quant/weight.h"

namespace mach {

// Rows `out_first`, ... of the result are act(gate x, up x) of x's rows `columns`.
struct GatedProduct {
  const WeightMatrix* gate = nullptr;  // [rows, x.dim()], both of the same number of rows
  const WeightMatrix* up = nullptr;
  const float* gate_bias = nullptr;  // [rows], or null
  const float* up_bias = nullptr;
  std::span<const uint32_t> columns;
  uint32_t out_first = 0;
};

// out[targets[i]] += weights[i] * (weight x.row(x_first + i) + bias), i < targets.size().
struct SummedProduct {
  const WeightMatrix* weight = nullptr;  // [rows, x.dim()]
  const float* bias = nullptr;           // [rows], or null
  uint32_t x_first = 0;
  std::span<const uint32_t> targets;  // distinct
  std::span<const float> weights;
};

// Can these functions work with this matrix? In fast mode, in panel order, with kernels for its codec.
bool grouped_products_take(const Compute& compute, const WeightMatrix& weight) noexcept;

// y = act(gate, up) for n values; y may be gate. Called by workers for pieces that begin at multiples of 128.
using ActivatePiece = FunctionRef<void(const float* gate, const float* up, uint32_t n, float* y)>;

// Fills `out`, which has room for every row (Activations::reserve_pieces) of as many values as the matrices have rows. All
// products have the same shape, at least one column, and matrices that grouped_products_take().
void gated_products(Compute& compute, const Activations& x, std::span<const GatedProduct> products,
                    ActivatePiece activate, Activations& out);

// Adds to out [out_rows, weight->rows] in the order of products. All products have the same shape and matrices that
// grouped_products_take().
void summed_products(Compute& compute, const Activations& x, std::span<const SummedProduct> products,
                     float* out, uint32_t out_rows);

}  // namespace mach
