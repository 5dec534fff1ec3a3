// A linear layer bound to its weights: y = W x (+ bias). times() names the product; Workspace::multiply runs
// any number of them in one parallel region.
//   workspace.multiply({layer.q.times(*x, q), layer.k.times(*x, k), layer.v.times(*x, v)});
#pragma once

#include <span>

#include "kernels/product.h"
#include "model/float_rows.h"
#include "quant/weight.h"

namespace mach {

enum class Precision : uint8_t {
  kByMode,
  kExact,    // fp32 in fast mode too (routers)
  kOneTerm,  // in fast mode: int8 activations of one term
};

// In fast mode the linear layers that every token passes take activations of two terms: rounding them to 8 bits is what
// costs most of the agreement with exact mode, and where memory is the limit the second term is free. Routed experts, where
// prefill spends its arithmetic, take one term, and so do layers of which a family's graph says that they bear it.

struct Linear {
  WeightMatrix weight;
  std::span<const float> bias;  // [rows], or empty

  // y [x.count(), weight.rows]. The Linear and x must outlive the product.
  Product times(const Activations& x, const FloatRows& y,
                Precision precision = Precision::kByMode) const noexcept {
    return {.weight = &weight,
            .x = &x,
            .y = y.data,
            .y_stride = y.dim,
            .bias = bias.empty() ? nullptr : bias.data(),
            .force_exact = precision == Precision::kExact,
            .two_terms = precision != Precision::kOneTerm};
  }
  uint32_t rows() const noexcept { return weight.rows; }
};

// A gated MLP: down(act(gate x, up x)). Dense layers, shared experts.
struct GatedMlp {
  Linear gate, up, down;
};

}  // namespace mach
