// Norms, activations, softmax and rotary embedding; conversions are in convert.cpp. Each works on four elements at a time
// with a partial last step, and follows scalar/elementwise.cpp operation by operation.
#include "kernels/neon/neon_kernels.h"
#include "kernels/neon/simd_math.h"

namespace mach::neon {
namespace {

// y[i] = f(y[i]), four at a time.
template <class F>
void map(uint32_t n, float* y, F f) noexcept {
  for (uint32_t i = 0; i < n; i += 4) store_part(y + i, part_of(n, i), f(load_part(y + i, part_of(n, i))));
}

// out[i] = f(x[i], y[i]), four at a time.
template <class F>
void map2(const float* x, const float* y, uint32_t n, float* out, F f) noexcept {
  for (uint32_t i = 0; i < n; i += 4) {
    const uint32_t part = part_of(n, i);
    store_part(out + i, part, f(load_part(x + i, part), load_part(y + i, part)));
  }
}

float sum_of_squares(const float* x, uint32_t n) noexcept {
  float32x4_t sums[4] = {all(0.0F), all(0.0F), all(0.0F), all(0.0F)};
  for (uint32_t i = 0; i < n; i += 16) {
    for (uint32_t q = 0; q < 4; ++q) {
      const float32x4_t v = load_part(x + i + 4 * q, part_of(n, i + 4 * q));
      sums[q] = vfmaq_f32(sums[q], v, v);
    }
  }
  return sum_lanes(sums);
}

float square_root(float x) noexcept { return vgetq_lane_f32(vsqrtq_f32(all(x)), 0); }

}  // namespace

void rms_norm(const float* x, const float* w, float eps, uint32_t n, float* y) noexcept {
  const float32x4_t factor = all(1.0F / square_root(sum_of_squares(x, n) / static_cast<float>(n) + eps));
  if (w == nullptr) {
    map2(x, x, n, y, [&](float32x4_t a, float32x4_t) { return vmulq_f32(a, factor); });
  } else {
    map2(x, w, n, y, [&](float32x4_t a, float32x4_t b) { return vmulq_f32(vmulq_f32(a, factor), b); });
  }
}

void scale(float a, uint32_t n, float* y) noexcept {
  map(n, y, [&](float32x4_t v) { return vmulq_f32(v, all(a)); });
}

void add(const float* x, uint32_t n, float* y) noexcept {
  map2(x, y, n, y, [](float32x4_t a, float32x4_t b) { return vaddq_f32(b, a); });
}

void multiply(const float* x, uint32_t n, float* y) noexcept {
  map2(x, y, n, y, [](float32x4_t a, float32x4_t b) { return vmulq_f32(b, a); });
}

void axpy(float a, const float* x, uint32_t n, float* y) noexcept {
  map2(x, y, n, y, [&](float32x4_t u, float32x4_t v) { return vfmaq_f32(v, all(a), u); });
}

void scale_axpy(float b, float a, const float* x, uint32_t n, float* y) noexcept {
  map2(x, y, n, y, [&](float32x4_t u, float32x4_t v) { return vfmaq_f32(vmulq_f32(all(b), v), all(a), u); });
}

void gated_activation(const kernel::GateParameters& parameters, const float* g, const float* u, uint32_t n,
                      float* y) noexcept {
  const float32x4_t limit = all(parameters.limit);
  const float32x4_t alpha = all(parameters.alpha);
  const auto below = [&](float32x4_t v) { return min_x86(limit, v); };
  const auto within = [&](float32x4_t v) { return max_x86(vnegq_f32(limit), below(v)); };
  switch (parameters.gate) {
    case kernel::Gate::kSilu:
      map2(g, u, n, y, [](float32x4_t a, float32x4_t b) { return vmulq_f32(over_one_plus_exp(a, a), b); });
      break;
    case kernel::Gate::kGeluTanh:
      map2(g, u, n, y, [](float32x4_t a, float32x4_t b) {
        const float32x4_t cubic = vfmaq_f32(a, vmulq_f32(all(0.044715F), vmulq_f32(a, a)), a);
        return vmulq_f32(over_one_plus_exp(a, vmulq_f32(all(0x1.988454p+0F), cubic)), b);
      });
      break;
    case kernel::Gate::kSiluLimited:
      map2(g, u, n, y, [&](float32x4_t a, float32x4_t b) {
        a = below(a);
        return vmulq_f32(over_one_plus_exp(a, a), within(b));
      });
      break;
    case kernel::Gate::kSwigluOai:
      map2(g, u, n, y, [&](float32x4_t a, float32x4_t b) {
        a = below(a);
        return vmulq_f32(vaddq_f32(within(b), all(1.0F)), over_one_plus_exp(a, vmulq_f32(alpha, a)));
      });
      break;
  }
}

void sigmoid_multiply(const float* x, uint32_t n, float* y) noexcept {
  map2(x, y, n, y,
       [](float32x4_t a, float32x4_t b) { return vmulq_f32(b, over_one_plus_exp(all(1.0F), a)); });
}

void exp(uint32_t n, float* y) noexcept { map(n, y, exp4); }

void silu(uint32_t n, float* y) noexcept {
  map(n, y, [](float32x4_t v) { return over_one_plus_exp(v, v); });
}

void soft_cap(float cap, uint32_t n, float* y) noexcept {
  map(n, y, [&](float32x4_t v) { return vmulq_f32(all(cap), tanh4(vdivq_f32(v, all(cap)))); });
}

namespace {

// The largest of start and x; NaN never wins.
float largest_of(const float* x, uint32_t n, float start) noexcept {
  float32x4_t best = all(start);
  uint32_t i = 0;
  for (; i + 4 <= n; i += 4) best = max_x86(vld1q_f32(x + i), best);
  for (; i < n; ++i) start = x[i] > start ? x[i] : start;
  float lane[4];
  vst1q_f32(lane, best);
  for (const float v : lane) start = v > start ? v : start;
  return start;
}

constexpr float kMasked = -__builtin_inff();

}  // namespace

void softmax(const float* sink, uint32_t n, float* y) noexcept {
  const float largest = largest_of(y, n, sink == nullptr ? kMasked : *sink);
  if (largest == kMasked) {
    map(n, y, [](float32x4_t v) { return vbslq_f32(vceqq_f32(v, all(kMasked)), all(0.0F), v); });
    return;
  }
  float32x4_t sums[4] = {all(0.0F), all(0.0F), all(0.0F), all(0.0F)};
  for (uint32_t i = 0; i < n; i += 4) {
    const uint32_t part = part_of(n, i);
    float32x4_t v = exp4(vsubq_f32(load_part(y + i, part), all(largest)));
    store_part(y + i, part, v);
    v = load_part(y + i, part);  // zeros where there is no element
    sums[i / 4 % 4] = vaddq_f32(sums[i / 4 % 4], v);
  }
  float total = sum_lanes(sums);
  if (sink != nullptr) total += vgetq_lane_f32(exp4(all(*sink - largest)), 0);
  scale(1.0F / total, n, y);
}

void rope_half_split(const float* cos, const float* sin, uint32_t pairs, float* y) noexcept {
  float* z = y + pairs;
  for (uint32_t i = 0; i < pairs; i += 4) {
    const uint32_t part = part_of(pairs, i);
    const float32x4_t c = load_part(cos + i, part);
    const float32x4_t s = load_part(sin + i, part);
    const float32x4_t a = load_part(y + i, part);
    const float32x4_t b = load_part(z + i, part);
    store_part(y + i, part, vfmaq_f32(vnegq_f32(vmulq_f32(b, s)), a, c));
    store_part(z + i, part, vfmaq_f32(vmulq_f32(a, s), b, c));
  }
}

void rope_interleaved(const float* cos, const float* sin, uint32_t pairs, float* y) noexcept {
  uint32_t i = 0;
  for (; i + 4 <= pairs; i += 4) {
    float* at = y + size_t{2} * i;
    const float32x4x2_t v = vld2q_f32(at);
    const float32x4_t c = vld1q_f32(cos + i);
    const float32x4_t s = vld1q_f32(sin + i);
    float32x4x2_t turned;
    turned.val[0] = vfmaq_f32(vnegq_f32(vmulq_f32(v.val[1], s)), v.val[0], c);
    turned.val[1] = vfmaq_f32(vmulq_f32(v.val[0], s), v.val[1], c);
    vst2q_f32(at, turned);
  }
  for (; i < pairs; ++i) {
    float* at = y + size_t{2} * i;
    const float a = at[0];
    const float b = at[1];
    at[0] = __builtin_fmaf(a, cos[i], -(b * sin[i]));
    at[1] = __builtin_fmaf(b, cos[i], a * sin[i]);
  }
}

uint32_t argmax(const float* x, uint32_t n) noexcept {
  const float largest = largest_of(x, n, kMasked);
  for (uint32_t i = 0; i < n; ++i) {
    if (x[i] == largest) return i;
  }
  return 0;
}

}  // namespace mach::neon
