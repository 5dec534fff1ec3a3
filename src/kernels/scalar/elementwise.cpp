// Norms, activations, softmax, rotary embedding and conversions, one element after the other.
#include <cmath>
#include <limits>

#include "base/half.h"
#include "kernels/scalar/lanes.h"
#include "kernels/scalar/scalar_kernels.h"
#include "kernels/scalar/scalar_math.h"

namespace mach::scalar {

void rms_norm(const float* x, const float* w, float eps, uint32_t n, float* y) noexcept {
  Lanes squares;
  for (uint32_t i = 0; i < n; ++i) squares.multiply_add(i, x[i], x[i]);
  squares.pad(n);
  const float factor = 1.0F / std::sqrt(squares.sum() / static_cast<float>(n) + eps);
  for (uint32_t i = 0; i < n; ++i) y[i] = w == nullptr ? x[i] * factor : x[i] * factor * w[i];
}

void scale(float a, uint32_t n, float* y) noexcept {
  for (uint32_t i = 0; i < n; ++i) y[i] *= a;
}

void add(const float* x, uint32_t n, float* y) noexcept {
  for (uint32_t i = 0; i < n; ++i) y[i] += x[i];
}

void multiply(const float* x, uint32_t n, float* y) noexcept {
  for (uint32_t i = 0; i < n; ++i) y[i] *= x[i];
}

void axpy(float a, const float* x, uint32_t n, float* y) noexcept {
  for (uint32_t i = 0; i < n; ++i) y[i] = std::fma(a, x[i], y[i]);
}

void scale_axpy(float b, float a, const float* x, uint32_t n, float* y) noexcept {
  for (uint32_t i = 0; i < n; ++i) y[i] = std::fma(a, x[i], b * y[i]);
}

namespace {

// gelu_tanh(g) = g * sigmoid(2 sqrt(2/pi) (g + 0.044715 g^3)), by tanh(z) = 2 sigmoid(2z) - 1.
float gelu_tanh(float g) noexcept {
  const float cubic = std::fma(0.044715F * (g * g), g, g);
  return over_one_plus_exp(g, 0x1.988454p+0F * cubic);
}

float gate_up(const kernel::GateParameters& p, float g, float u) noexcept {
  switch (p.gate) {
    case kernel::Gate::kSilu:
      return over_one_plus_exp(g, g) * u;
    case kernel::Gate::kGeluTanh:
      return gelu_tanh(g) * u;
    case kernel::Gate::kSiluLimited:
    case kernel::Gate::kSwigluOai:
      break;
  }
  g = min_x86(p.limit, g);
  u = max_x86(-p.limit, min_x86(p.limit, u));
  if (p.gate == kernel::Gate::kSiluLimited) return over_one_plus_exp(g, g) * u;
  return (u + 1.0F) * over_one_plus_exp(g, p.alpha * g);
}

}  // namespace

void gated_activation(const kernel::GateParameters& parameters, const float* g, const float* u, uint32_t n,
                      float* y) noexcept {
  for (uint32_t i = 0; i < n; ++i) y[i] = gate_up(parameters, g[i], u[i]);
}

void sigmoid_multiply(const float* x, uint32_t n, float* y) noexcept {
  for (uint32_t i = 0; i < n; ++i) y[i] *= over_one_plus_exp(1.0F, x[i]);
}

void exp(uint32_t n, float* y) noexcept {
  for (uint32_t i = 0; i < n; ++i) y[i] = exp_f32(y[i]);
}

void silu(uint32_t n, float* y) noexcept {
  for (uint32_t i = 0; i < n; ++i) y[i] = over_one_plus_exp(y[i], y[i]);
}

void soft_cap(float cap, uint32_t n, float* y) noexcept {
  for (uint32_t i = 0; i < n; ++i) y[i] = cap * tanh_f32(y[i] / cap);
}

void softmax(const float* sink, uint32_t n, float* y) noexcept {
  constexpr float kMasked = -std::numeric_limits<float>::infinity();
  float largest = sink == nullptr ? kMasked : *sink;
  for (uint32_t i = 0; i < n; ++i) largest = max_x86(y[i], largest);
  if (largest == kMasked) {
    for (uint32_t i = 0; i < n; ++i) y[i] = y[i] == kMasked ? 0.0F : y[i];  // what is left is NaN
    return;
  }
  Lanes lanes;
  for (uint32_t i = 0; i < n; ++i) {
    y[i] = exp_f32(y[i] - largest);
    lanes.add(i, y[i]);
  }
  float total = lanes.sum();
  if (sink != nullptr) total += exp_f32(*sink - largest);
  const float factor = 1.0F / total;
  for (uint32_t i = 0; i < n; ++i) y[i] *= factor;
}

void rope_half_split(const float* cos, const float* sin, uint32_t pairs, float* y) noexcept {
  for (uint32_t i = 0; i < pairs; ++i) {
    const float a = y[i];
    const float b = y[i + pairs];
    y[i] = std::fma(a, cos[i], -(b * sin[i]));
    y[i + pairs] = std::fma(b, cos[i], a * sin[i]);
  }
}

void rope_interleaved(const float* cos, const float* sin, uint32_t pairs, float* y) noexcept {
  for (size_t i = 0; i < pairs; ++i) {
    const float a = y[2 * i];
    const float b = y[2 * i + 1];
    y[2 * i] = std::fma(a, cos[i], -(b * sin[i]));
    y[2 * i + 1] = std::fma(b, cos[i], a * sin[i]);
  }
}

uint32_t argmax(const float* x, uint32_t n) noexcept {
  uint32_t best = 0;
  float largest = -std::numeric_limits<float>::infinity();
  bool found = false;
  for (uint32_t i = 0; i < n; ++i) {
    if (x[i] > largest || (!found && x[i] == largest)) {
      largest = x[i];
      best = i;
      found = true;
    }
  }
  return best;
}

void f32_from_bf16(const std::byte* x, uint32_t n, float* y) noexcept {
  for (size_t i = 0; i < n; ++i) y[i] = load_bf16(x + 2 * i);
}

void f32_from_f16(const std::byte* x, uint32_t n, float* y) noexcept {
  for (size_t i = 0; i < n; ++i) y[i] = load_f16(x + 2 * i);
}

void bf16_from_f32(const float* x, uint32_t n, std::byte* y) noexcept {
  for (size_t i = 0; i < n; ++i) store_unaligned(y + 2 * i, f32_to_bf16(x[i]));
}

void f16_from_f32(const float* x, uint32_t n, std::byte* y) noexcept {
  for (size_t i = 0; i < n; ++i) store_unaligned(y + 2 * i, f32_to_f16(x[i]));
}

}  // namespace mach::scalar
