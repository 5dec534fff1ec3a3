// Dot products with rows and weighted sums of rows, for rows of f32, f16 and bf16.
#include <cmath>

#include "base/half.h"
#include "kernels/scalar/lanes.h"
#include "kernels/scalar/scalar_kernels.h"

namespace mach::scalar {
namespace {

struct F32 {
  static float load(const std::byte* row, uint32_t i) noexcept { return load_f32(row + 4 * size_t{i}); }
};
struct F16 {
  static float load(const std::byte* row, uint32_t i) noexcept { return load_f16(row + 2 * size_t{i}); }
};
struct BF16 {
  static float load(const std::byte* row, uint32_t i) noexcept { return load_bf16(row + 2 * size_t{i}); }
};

template <class Element>
void dot_rows(kernel::Rows rows, uint32_t n, const float* const* x, uint32_t columns, float* y,
              size_t y_stride) noexcept {
  for (uint32_t r = 0; r < rows.count; ++r) {
    const std::byte* row = rows.data + r * rows.stride;
    for (uint32_t c = 0; c < columns; ++c) {
      Lanes lanes;
      for (uint32_t i = 0; i < n; ++i) lanes.multiply_add(i, Element::load(row, i), x[c][i]);
      lanes.pad(n);
      y[c * y_stride + r] = lanes.sum();
    }
  }
}

template <class Element>
void mix_rows(kernel::Rows rows, uint32_t n, const float* weights, size_t weight_stride, uint32_t columns,
              float* y, size_t y_stride) noexcept {
  for (uint32_t c = 0; c < columns; ++c) {
    for (uint32_t r = 0; r < rows.count; ++r) {
      const std::byte* row = rows.data + r * rows.stride;
      const float weight = weights[c * weight_stride + r];
      float* out = y + c * y_stride;
      for (uint32_t i = 0; i < n; ++i) out[i] = std::fma(weight, Element::load(row, i), out[i]);
    }
  }
}

}  // namespace

void dot_rows_f32(kernel::Rows rows, uint32_t n, const float* const* x, uint32_t columns, float* y,
                  size_t y_stride) noexcept {
  dot_rows<F32>(rows, n, x, columns, y, y_stride);
}
void dot_rows_f16(kernel::Rows rows, uint32_t n, const float* const* x, uint32_t columns, float* y,
                  size_t y_stride) noexcept {
  dot_rows<F16>(rows, n, x, columns, y, y_stride);
}
void dot_rows_bf16(kernel::Rows rows, uint32_t n, const float* const* x, uint32_t columns, float* y,
                   size_t y_stride) noexcept {
  dot_rows<BF16>(rows, n, x, columns, y, y_stride);
}
void mix_rows_f32(kernel::Rows rows, uint32_t n, const float* weights, size_t weight_stride, uint32_t columns,
                  float* y, size_t y_stride) noexcept {
  mix_rows<F32>(rows, n, weights, weight_stride, columns, y, y_stride);
}
void mix_rows_f16(kernel::Rows rows, uint32_t n, const float* weights, size_t weight_stride, uint32_t columns,
                  float* y, size_t y_stride) noexcept {
  mix_rows<F16>(rows, n, weights, weight_stride, columns, y, y_stride);
}
void mix_rows_bf16(kernel::Rows rows, uint32_t n, const float* weights, size_t weight_stride,
                   uint32_t columns, float* y, size_t y_stride) noexcept {
  mix_rows<BF16>(rows, n, weights, weight_stride, columns, y, y_stride);
}

}  // namespace mach::scalar
