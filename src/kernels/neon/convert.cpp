// Conversions between fp32 and the 16-bit floats, and quantisation of activations.
#include "kernels/int8_terms.h"
#include "kernels/neon/neon_kernels.h"
#include "kernels/neon/simd.h"

namespace mach::neon {
namespace {

template <class Element>
void widen(const std::byte* x, uint32_t n, float* y) noexcept {
  uint32_t i = 0;
  for (; i + 4 <= n; i += 4) vst1q_f32(y + i, Element::load(x + i * Element::kBytes));
  if (i < n) store_part(y + i, n - i, Element::load(x + i * Element::kBytes, n - i));
}

template <class F>
void narrow(const float* x, uint32_t n, std::byte* y, F f) noexcept {
  for (uint32_t i = 0; i < n; i += 4) {
    uint16_t lane[4];
    vst1_u16(lane, f(load_part(x + i, part_of(n, i))));
    __builtin_memcpy(y + size_t{2} * i, lane, size_t{2} * part_of(n, i));
  }
}

uint16x4_t round_to_bf16(float32x4_t v) noexcept {
  const uint32x4_t bits = vreinterpretq_u32_f32(v);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
  const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
  return vshrn_n_u32(vbslq_u32(vceqq_f32(v, v), rounded, quiet), 16);
}

}  // namespace

void f32_from_bf16(const std::byte* x, uint32_t n, float* y) noexcept { widen<BF16>(x, n, y); }
void f32_from_f16(const std::byte* x, uint32_t n, float* y) noexcept { widen<F16>(x, n, y); }
void bf16_from_f32(const float* x, uint32_t n, std::byte* y) noexcept { narrow(x, n, y, round_to_bf16); }
void f16_from_f32(const float* x, uint32_t n, std::byte* y) noexcept {
  narrow(x, n, y, [](float32x4_t v) { return vreinterpret_u16_f16(vcvt_f16_f32(v)); });
}

void quantize_int8(const float* x, uint32_t n, int8_t* values, float* scales) noexcept {
  const uint32_t padded = (n + 63) / 64 * 64;
  for (uint32_t i = 0; i < padded; i += 32) {
    float32x4_t v[8];
    uint32x4_t most =
        vdupq_n_u32(0);  // the largest magnitude as bits, so that NaN counts as larger than everything
    for (uint32_t k = 0; k < 8; ++k) {
      v[k] = load_part(x + i + 4 * k, part_of(n, i + 4 * k));
      most = vmaxq_u32(most, vreinterpretq_u32_f32(vabsq_f32(v[k])));
    }
    const float amax = vgetq_lane_f32(vreinterpretq_f32_u32(vdupq_n_u32(vmaxvq_u32(most))), 0);
    if (!(amax >= 1e-30F && amax < __builtin_inff())) {
      scales[i / 32] = amax < 1e-30F ? 0.0F : __builtin_nanf("");
      vst1q_s8(values + i, vdupq_n_s8(0));
      vst1q_s8(values + i + 16, vdupq_n_s8(0));
      continue;
    }
    scales[i / 32] = amax / 127.0F;
    const float32x4_t inverse = all(127.0F / amax);
    const auto eight = [&](uint32_t k) {
      const int32x4_t a = vcvtnq_s32_f32(vmulq_f32(v[k], inverse));
      const int32x4_t b = vcvtnq_s32_f32(vmulq_f32(v[k + 1], inverse));
      return vqmovn_s16(vcombine_s16(vqmovn_s32(a), vqmovn_s32(b)));
    };
    for (uint32_t k = 0; k < 8; k += 2) vst1_s8(values + i + 4 * k, eight(k));
  }
}

void refine_int8(const float* x, uint32_t n, const int8_t* values, const float* scales,
                 int8_t* low) noexcept {
  refine_int8_loop(x, n, values, scales, low);
}

void total_int8(const int8_t* values, const int8_t* low, uint32_t n, int32_t* totals) noexcept {
  total_int8_loop(values, low, n, totals);
}

}  // namespace mach::neon
