// Norms, activations, softmax and rotary embedding; conversions are in convert.cpp. Each works on sixteen elements at a
// time with a partial last step, and follows scalar/elementwise.cpp operation by operation.
#include "kernels/avx512/avx512_kernels.h"
#include "kernels/avx512/simd_math.h"

namespace mach::avx512 {
namespace {

// y[i] = f(y[i]), sixteen at a time.
template <class F>
void map(uint32_t n, float* y, F f) noexcept {
  uint32_t i = 0;
  for (; i + 16 <= n; i += 16) _mm512_storeu_ps(y + i, f(_mm512_loadu_ps(y + i)));
  if (i < n) store_part(y + i, first_lanes(n - i), f(load_part(y + i, first_lanes(n - i))));
}

// out[i] = f(x[i], y[i]), sixteen at a time.
template <class F>
void map2(const float* x, const float* y, uint32_t n, float* out, F f) noexcept {
  uint32_t i = 0;
  for (; i + 16 <= n; i += 16) _mm512_storeu_ps(out + i, f(_mm512_loadu_ps(x + i), _mm512_loadu_ps(y + i)));
  if (i < n) {
    const __mmask16 lanes = first_lanes(n - i);
    store_part(out + i, lanes, f(load_part(x + i, lanes), load_part(y + i, lanes)));
  }
}

float sum_of_squares(const float* x, uint32_t n) noexcept {
  __m512 sum = _mm512_setzero_ps();
  for (uint32_t i = 0; i < n; i += 16) {
    const __m512 a = load_part(x + i, first_lanes(n - i));
    sum = _mm512_fmadd_ps(a, a, sum);
  }
  return sum_lanes(sum);
}

float square_root(float x) noexcept { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

}  // namespace

void rms_norm(const float* x, const float* w, float eps, uint32_t n, float* y) noexcept {
  const __m512 factor = all(1.0F / square_root(sum_of_squares(x, n) / static_cast<float>(n) + eps));
  if (w == nullptr) {
    map2(x, x, n, y, [&](__m512 a, __m512) { return _mm512_mul_ps(a, factor); });
  } else {
    map2(x, w, n, y, [&](__m512 a, __m512 b) { return _mm512_mul_ps(_mm512_mul_ps(a, factor), b); });
  }
}

void scale(float a, uint32_t n, float* y) noexcept {
  map(n, y, [&](__m512 v) { return _mm512_mul_ps(v, all(a)); });
}

void add(const float* x, uint32_t n, float* y) noexcept {
  map2(x, y, n, y, [](__m512 a, __m512 b) { return _mm512_add_ps(b, a); });
}

void multiply(const float* x, uint32_t n, float* y) noexcept {
  map2(x, y, n, y, [](__m512 a, __m512 b) { return _mm512_mul_ps(b, a); });
}

void axpy(float a, const float* x, uint32_t n, float* y) noexcept {
  map2(x, y, n, y, [&](__m512 u, __m512 v) { return _mm512_fmadd_ps(all(a), u, v); });
}

void scale_axpy(float b, float a, const float* x, uint32_t n, float* y) noexcept {
  map2(x, y, n, y, [&](__m512 u, __m512 v) { return _mm512_fmadd_ps(all(a), u, _mm512_mul_ps(all(b), v)); });
}

void gated_activation(const kernel::GateParameters& parameters, const float* g, const float* u, uint32_t n,
                      float* y) noexcept {
  const __m512 limit = all(parameters.limit);
  const __m512 alpha = all(parameters.alpha);
  const auto below = [&](__m512 v) { return _mm512_min_ps(limit, v); };
  const auto within = [&](__m512 v) { return _mm512_max_ps(negate(limit), below(v)); };
  switch (parameters.gate) {
    case kernel::Gate::kSilu:
      map2(g, u, n, y, [](__m512 a, __m512 b) { return _mm512_mul_ps(over_one_plus_exp(a, a), b); });
      break;
    case kernel::Gate::kGeluTanh:
      map2(g, u, n, y, [](__m512 a, __m512 b) {
        const __m512 cubic = _mm512_fmadd_ps(_mm512_mul_ps(all(0.044715F), _mm512_mul_ps(a, a)), a, a);
        return _mm512_mul_ps(over_one_plus_exp(a, _mm512_mul_ps(all(0x1.988454p+0F), cubic)), b);
      });
      break;
    case kernel::Gate::kSiluLimited:
      map2(g, u, n, y, [&](__m512 a, __m512 b) {
        a = below(a);
        return _mm512_mul_ps(over_one_plus_exp(a, a), within(b));
      });
      break;
    case kernel::Gate::kSwigluOai:
      map2(g, u, n, y, [&](__m512 a, __m512 b) {
        a = below(a);
        return _mm512_mul_ps(_mm512_add_ps(within(b), all(1.0F)),
                             over_one_plus_exp(a, _mm512_mul_ps(alpha, a)));
      });
      break;
  }
}

void sigmoid_multiply(const float* x, uint32_t n, float* y) noexcept {
  map2(x, y, n, y, [](__m512 a, __m512 b) { return _mm512_mul_ps(b, over_one_plus_exp(all(1.0F), a)); });
}

void exp(uint32_t n, float* y) noexcept { map(n, y, exp16); }

void silu(uint32_t n, float* y) noexcept {
  map(n, y, [](__m512 v) { return over_one_plus_exp(v, v); });
}

void soft_cap(float cap, uint32_t n, float* y) noexcept {
  map(n, y, [&](__m512 v) { return _mm512_mul_ps(all(cap), tanh16(_mm512_div_ps(v, all(cap)))); });
}

namespace {

// The largest of start and x; NaN never wins.
float largest_of(const float* x, uint32_t n, float start) noexcept {
  __m512 best = all(start);
  for (uint32_t i = 0; i < n; i += 16) {
    const __m512 part = _mm512_mask_loadu_ps(all(start), first_lanes(n - i), x + i);
    best = _mm512_max_ps(part, best);
  }
  alignas(64) float lane[16];
  _mm512_store_ps(lane, best);
  for (const float v : lane) start = v > start ? v : start;
  return start;
}

constexpr float kMasked = -__builtin_inff();

}  // namespace

void softmax(const float* sink, uint32_t n, float* y) noexcept {
  const float largest = largest_of(y, n, sink == nullptr ? kMasked : *sink);
  if (largest == kMasked) {
    map(n, y, [](__m512 v) {
      return _mm512_mask_mov_ps(v, _mm512_cmp_ps_mask(v, all(kMasked), _CMP_EQ_OQ), _mm512_setzero_ps());
    });
    return;
  }
  const __m512 shift = all(largest);
  __m512 sum = _mm512_setzero_ps();
  for (uint32_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = first_lanes(n - i);
    const __m512 v = _mm512_maskz_mov_ps(lanes, exp16(_mm512_sub_ps(load_part(y + i, lanes), shift)));
    store_part(y + i, lanes, v);
    sum = _mm512_add_ps(sum, v);
  }
  float total = sum_lanes(sum);
  if (sink != nullptr) total += _mm512_cvtss_f32(exp16(all(*sink - largest)));
  scale(1.0F / total, n, y);
}

void rope_half_split(const float* cos, const float* sin, uint32_t pairs, float* y) noexcept {
  float* z = y + pairs;
  for (uint32_t i = 0; i < pairs; i += 16) {
    const __mmask16 lanes = first_lanes(pairs - i);
    const __m512 c = load_part(cos + i, lanes);
    const __m512 s = load_part(sin + i, lanes);
    const __m512 a = load_part(y + i, lanes);
    const __m512 b = load_part(z + i, lanes);
    store_part(y + i, lanes, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
    store_part(z + i, lanes, _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, s)));
  }
}

void rope_interleaved(const float* cos, const float* sin, uint32_t pairs, float* y) noexcept {
  // Eight pairs per register: (a, b) becomes (a cos - b sin, b cos + a sin) by one alternating multiply-add.
  const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  for (uint32_t i = 0; i < pairs; i += 8) {
    const uint32_t n = pairs - i < 8 ? pairs - i : 8;
    float* at = y + size_t{2} * i;
    const __m512 v = load_part(at, first_lanes(2 * n));
    const __m512 c = _mm512_permutexvar_ps(twice, load_part(cos + i, first_lanes(n)));
    const __m512 s = _mm512_permutexvar_ps(twice, load_part(sin + i, first_lanes(n)));
    const __m512 crossed = _mm512_mul_ps(_mm512_permute_ps(v, 0xb1), s);
    store_part(at, first_lanes(2 * n), _mm512_fmaddsub_ps(v, c, crossed));
  }
}

uint32_t argmax(const float* x, uint32_t n) noexcept {
  const __m512 wanted = all(largest_of(x, n, kMasked));
  for (uint32_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = first_lanes(n - i);
    const uint32_t found = _mm512_mask_cmp_ps_mask(lanes, load_part(x + i, lanes), wanted, _CMP_EQ_OQ);
    if (found != 0) return i + static_cast<uint32_t>(__builtin_ctz(found));
  }
  return 0;
}

}  // namespace mach::avx512
