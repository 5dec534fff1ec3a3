// Norms, activations, softmax and rotary embedding; conversions are in convert.cpp. Each works on eight elements at a
// time with a partial last step, and follows scalar/elementwise.cpp operation by operation.
#include "kernels/avx2/avx2_kernels.h"
#include "kernels/avx2/simd_math.h"

namespace mach::avx2 {
namespace {

// y[i] = f(y[i]) or f(x[i], y[i]), eight at a time.
template <class F>
void map(uint32_t n, float* y, F f) noexcept {
  uint32_t i = 0;
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, f(_mm256_loadu_ps(y + i)));
  if (i < n) store_part(y + i, n - i, f(load_part(y + i, n - i)));
}
template <class F>
void map2(const float* x, const float* y, uint32_t n, float* out, F f) noexcept {
  uint32_t i = 0;
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(out + i, f(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
  if (i < n) store_part(out + i, n - i, f(load_part(x + i, n - i), load_part(y + i, n - i)));
}

float sum_of_squares(const float* x, uint32_t n) noexcept {
  __m256 low = _mm256_setzero_ps();
  __m256 high = _mm256_setzero_ps();
  uint32_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m256 a = _mm256_loadu_ps(x + i);
    const __m256 b = _mm256_loadu_ps(x + i + 8);
    low = _mm256_fmadd_ps(a, a, low);
    high = _mm256_fmadd_ps(b, b, high);
  }
  if (i < n) {
    const __m256 a = load_part(x + i, low_part(n - i));
    const __m256 b = load_part(x + i + 8, high_part(n - i));
    low = _mm256_fmadd_ps(a, a, low);
    high = _mm256_fmadd_ps(b, b, high);
  }
  return sum_lanes(low, high);
}

float square_root(float x) noexcept { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

}  // namespace

void rms_norm(const float* x, const float* w, float eps, uint32_t n, float* y) noexcept {
  const __m256 factor = all(1.0F / square_root(sum_of_squares(x, n) / static_cast<float>(n) + eps));
  if (w == nullptr) {
    map2(x, x, n, y, [&](__m256 a, __m256) { return _mm256_mul_ps(a, factor); });
  } else {
    map2(x, w, n, y, [&](__m256 a, __m256 b) { return _mm256_mul_ps(_mm256_mul_ps(a, factor), b); });
  }
}

void scale(float a, uint32_t n, float* y) noexcept {
  map(n, y, [&](__m256 v) { return _mm256_mul_ps(v, all(a)); });
}

void add(const float* x, uint32_t n, float* y) noexcept {
  map2(x, y, n, y, [](__m256 a, __m256 b) { return _mm256_add_ps(b, a); });
}

void multiply(const float* x, uint32_t n, float* y) noexcept {
  map2(x, y, n, y, [](__m256 a, __m256 b) { return _mm256_mul_ps(b, a); });
}

void axpy(float a, const float* x, uint32_t n, float* y) noexcept {
  map2(x, y, n, y, [&](__m256 u, __m256 v) { return _mm256_fmadd_ps(all(a), u, v); });
}

void scale_axpy(float b, float a, const float* x, uint32_t n, float* y) noexcept {
  map2(x, y, n, y, [&](__m256 u, __m256 v) { return _mm256_fmadd_ps(all(a), u, _mm256_mul_ps(all(b), v)); });
}

void gated_activation(const kernel::GateParameters& parameters, const float* g, const float* u, uint32_t n,
                      float* y) noexcept {
  const __m256 limit = all(parameters.limit);
  const __m256 alpha = all(parameters.alpha);
  const auto below = [&](__m256 v) { return _mm256_min_ps(limit, v); };
  const auto within = [&](__m256 v) { return _mm256_max_ps(negate(limit), below(v)); };
  switch (parameters.gate) {
    case kernel::Gate::kSilu:
      map2(g, u, n, y, [](__m256 a, __m256 b) { return _mm256_mul_ps(over_one_plus_exp(a, a), b); });
      break;
    case kernel::Gate::kGeluTanh:
      map2(g, u, n, y, [](__m256 a, __m256 b) {
        const __m256 cubic = _mm256_fmadd_ps(_mm256_mul_ps(all(0.044715F), _mm256_mul_ps(a, a)), a, a);
        return _mm256_mul_ps(over_one_plus_exp(a, _mm256_mul_ps(all(0x1.988454p+0F), cubic)), b);
      });
      break;
    case kernel::Gate::kSiluLimited:
      map2(g, u, n, y, [&](__m256 a, __m256 b) {
        a = below(a);
        return _mm256_mul_ps(over_one_plus_exp(a, a), within(b));
      });
      break;
    case kernel::Gate::kSwigluOai:
      map2(g, u, n, y, [&](__m256 a, __m256 b) {
        a = below(a);
        return _mm256_mul_ps(_mm256_add_ps(within(b), all(1.0F)),
                             over_one_plus_exp(a, _mm256_mul_ps(alpha, a)));
      });
      break;
  }
}

void sigmoid_multiply(const float* x, uint32_t n, float* y) noexcept {
  map2(x, y, n, y, [](__m256 a, __m256 b) { return _mm256_mul_ps(b, over_one_plus_exp(all(1.0F), a)); });
}

void exp(uint32_t n, float* y) noexcept { map(n, y, exp8); }

void silu(uint32_t n, float* y) noexcept {
  map(n, y, [](__m256 v) { return over_one_plus_exp(v, v); });
}

void soft_cap(float cap, uint32_t n, float* y) noexcept {
  map(n, y, [&](__m256 v) { return _mm256_mul_ps(all(cap), tanh8(_mm256_div_ps(v, all(cap)))); });
}

namespace {

// The largest of start and x; NaN never wins.
float largest_of(const float* x, uint32_t n, float start) noexcept {
  __m256 best = all(start);
  uint32_t i = 0;
  for (; i + 8 <= n; i += 8) best = _mm256_max_ps(_mm256_loadu_ps(x + i), best);
  if (i < n) {
    const __m256 part =
        _mm256_blendv_ps(all(start), load_part(x + i, n - i), _mm256_castsi256_ps(first_lanes(n - i)));
    best = _mm256_max_ps(part, best);
  }
  alignas(32) float lane[8];
  _mm256_store_ps(lane, best);
  for (const float v : lane) start = v > start ? v : start;
  return start;
}

constexpr float kMasked = -__builtin_inff();

}  // namespace

void softmax(const float* sink, uint32_t n, float* y) noexcept {
  const float largest = largest_of(y, n, sink == nullptr ? kMasked : *sink);
  if (largest == kMasked) {
    map(n, y, [](__m256 v) {
      return _mm256_blendv_ps(v, _mm256_setzero_ps(), _mm256_cmp_ps(v, all(kMasked), _CMP_EQ_OQ));
    });
    return;
  }
  const __m256 shift = all(largest);
  __m256 low = _mm256_setzero_ps();
  __m256 high = _mm256_setzero_ps();
  uint32_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m256 a = exp8(_mm256_sub_ps(_mm256_loadu_ps(y + i), shift));
    const __m256 b = exp8(_mm256_sub_ps(_mm256_loadu_ps(y + i + 8), shift));
    _mm256_storeu_ps(y + i, a);
    _mm256_storeu_ps(y + i + 8, b);
    low = _mm256_add_ps(low, a);
    high = _mm256_add_ps(high, b);
  }
  for (uint32_t half = 0; i < n; ++half) {
    const uint32_t count = low_part(n - i);
    const __m256 v = _mm256_and_ps(exp8(_mm256_sub_ps(load_part(y + i, count), shift)),
                                   _mm256_castsi256_ps(first_lanes(count)));
    store_part(y + i, count, v);
    __m256& lanes = half == 0 ? low : high;
    lanes = _mm256_add_ps(lanes, v);
    i += count;
  }
  float total = sum_lanes(low, high);
  if (sink != nullptr) total += _mm256_cvtss_f32(exp8(all(*sink - largest)));
  scale(1.0F / total, n, y);
}

void rope_half_split(const float* cos, const float* sin, uint32_t pairs, float* y) noexcept {
  const auto rotate = [](__m256 c, __m256 s, __m256& a, __m256& b) {
    const __m256 turned = _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s));
    b = _mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s));
    a = turned;
  };
  float* z = y + pairs;
  uint32_t i = 0;
  for (; i + 8 <= pairs; i += 8) {
    __m256 a = _mm256_loadu_ps(y + i);
    __m256 b = _mm256_loadu_ps(z + i);
    rotate(_mm256_loadu_ps(cos + i), _mm256_loadu_ps(sin + i), a, b);
    _mm256_storeu_ps(y + i, a);
    _mm256_storeu_ps(z + i, b);
  }
  if (i < pairs) {
    const uint32_t n = pairs - i;
    __m256 a = load_part(y + i, n);
    __m256 b = load_part(z + i, n);
    rotate(load_part(cos + i, n), load_part(sin + i, n), a, b);
    store_part(y + i, n, a);
    store_part(z + i, n, b);
  }
}

void rope_interleaved(const float* cos, const float* sin, uint32_t pairs, float* y) noexcept {
  // Four pairs per register: (a, b) becomes (a cos - b sin, b cos + a sin) by one alternating multiply-add.
  const auto twice = [](const float* p, uint32_t n) {
    const __m128 v = _mm256_castps256_ps128(load_part(p, n));
    return _mm256_set_m128(_mm_unpackhi_ps(v, v), _mm_unpacklo_ps(v, v));
  };
  for (uint32_t i = 0; i < pairs; i += 4) {
    const uint32_t n = pairs - i < 4 ? pairs - i : 4;
    float* at = y + size_t{2} * i;
    const __m256 v = load_part(at, 2 * n);
    const __m256 swapped = _mm256_permute_ps(v, 0xb1);
    const __m256 crossed = _mm256_mul_ps(swapped, twice(sin + i, n));
    store_part(at, 2 * n, _mm256_fmaddsub_ps(v, twice(cos + i, n), crossed));
  }
}

uint32_t argmax(const float* x, uint32_t n) noexcept {
  const float largest = largest_of(x, n, kMasked);
  const __m256 wanted = all(largest);
  uint32_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const int found = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(x + i), wanted, _CMP_EQ_OQ));
    if (found != 0) return i + static_cast<uint32_t>(__builtin_ctz(static_cast<unsigned>(found)));
  }
  for (; i < n; ++i) {
    if (x[i] == largest) return i;
  }
  return 0;
}

}  // namespace mach::avx2
