// Products of weight matrices with activations: the one way in which the model multiplies. A call takes any number of
// products and runs them in one parallel region (gate and up of all chosen experts, say), handing out chunks of rows of
// about 50 microseconds from the pool's counter, so that there is no barrier between matrices.
//
// Deterministic: a result depends on its weight row, its input row and the kernel set only; not on the number of threads,
// on the other products, rows or columns of the call. In exact mode (and with force_exact) not on the kernel set either.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/activations.h"
#include "kernels/compute.h"
#include "quant/weight.h"

namespace mach {

// y[i * y_stride + r] = sum over c of W[r][c] * x.row(columns[i])[c] (+ bias[r]), for r < weight->rows.
//   weight   [rows, cols], cols == x->dim(); its format passed check_format
//   columns  rows of x to use, in this order; empty = all of them
//   y        overwritten; overlaps no input and no other product's y
//   bias     [rows] fp32, or null
struct Product {
  const WeightMatrix* weight = nullptr;
  const Activations* x = nullptr;
  std::span<const uint32_t> columns = {};
  float* y = nullptr;
  size_t y_stride = 0;  // floats from one input row's results to the next one's; not used for a single one
  const float* bias = nullptr;
  bool force_exact = false;  // exact arithmetic also in fast mode (routers)
  // In fast mode: int8 or bf16 activations of two terms, for matrices in panel order and of bf16. Twice the arithmetic and no
  // more memory traffic, so it costs nothing in decode.
  bool two_terms = false;

  uint32_t column_count() const noexcept {
    return columns.empty() ? x->count() : static_cast<uint32_t>(columns.size());
  }
};

// Throws Error{kInternal} where shapes do not fit each other. Allocates only while scratch buffers still grow. Not from
// inside a parallel region of compute.pool.
void multiply(Compute& compute, std::span<const Product> products);
void multiply(Compute& compute, const Product& product);

}  // namespace mach
