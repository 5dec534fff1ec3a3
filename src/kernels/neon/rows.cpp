// Dot products with rows and weighted sums of rows. Tiles keep 16 to 24 accumulators in registers.
#include "kernels/neon/neon_kernels.h"
#include "kernels/neon/simd.h"

namespace mach::neon {
namespace {

// y[c * y_stride + r] for R rows and C columns.
template <class Element, uint32_t R, uint32_t C>
void dot_tile(const std::byte* rows, uint64_t stride, uint32_t n, const float* const* x, float* y,
              size_t y_stride) noexcept {
  float32x4_t sums[R][C][4];
#pragma GCC unroll 8
  for (uint32_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) {
#pragma GCC unroll 8
      for (uint32_t q = 0; q < 4; ++q) sums[r][c][q] = all(0.0F);
    }
  }
  uint32_t i = 0;
  for (; i + 16 <= n; i += 16) {
#pragma GCC unroll 8
    for (uint32_t q = 0; q < 4; ++q) {
      const uint32_t at = i + 4 * q;
      float32x4_t w[R];
#pragma GCC unroll 8
      for (uint32_t r = 0; r < R; ++r) w[r] = Element::load(rows + r * stride + at * Element::kBytes);
#pragma GCC unroll 8
      for (uint32_t c = 0; c < C; ++c) {
        const float32x4_t column = vld1q_f32(x[c] + at);
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; ++r) sums[r][c][q] = vfmaq_f32(sums[r][c][q], w[r], column);
      }
    }
  }
  if (i < n) {
#pragma GCC unroll 8
    for (uint32_t q = 0; q < 4; ++q) {
      const uint32_t at = i + 4 * q;
      const uint32_t part = part_of(n, at);
#pragma GCC unroll 8
      for (uint32_t r = 0; r < R; ++r) {
        const float32x4_t w = Element::load(rows + r * stride + at * Element::kBytes, part);
#pragma GCC unroll 8
        for (uint32_t c = 0; c < C; ++c)
          sums[r][c][q] = vfmaq_f32(sums[r][c][q], w, load_part(x[c] + at, part));
      }
    }
  }
#pragma GCC unroll 8
  for (uint32_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) y[c * y_stride + r] = sum_lanes(sums[r][c]);
  }
}

// All rows against C columns, R rows at a time.
template <class Element, uint32_t R, uint32_t C>
void dot_strip(kernel::Rows rows, uint32_t n, const float* const* x, float* y, size_t y_stride) noexcept {
  uint32_t r = 0;
  for (; r + R <= rows.count; r += R) {
    dot_tile<Element, R, C>(rows.data + r * rows.stride, rows.stride, n, x, y + r, y_stride);
  }
  for (; r < rows.count; ++r) {
    dot_tile<Element, 1, C>(rows.data + r * rows.stride, rows.stride, n, x, y + r, y_stride);
  }
}

template <class Element>
void dot_rows(kernel::Rows rows, uint32_t n, const float* const* x, uint32_t columns, float* y,
              size_t y_stride) noexcept {
  uint32_t c = 0;
  for (; c + 3 <= columns; c += 3) dot_strip<Element, 2, 3>(rows, n, x + c, y + c * y_stride, y_stride);
  if (columns - c == 2) dot_strip<Element, 2, 2>(rows, n, x + c, y + c * y_stride, y_stride);
  if (columns - c == 1) dot_strip<Element, 4, 1>(rows, n, x + c, y + c * y_stride, y_stride);
}

// Elements [0, 4 V) of one column; `part` of the last four exist.
template <class Element, uint32_t V>
void mix_tile(kernel::Rows rows, uint32_t part, const float* weights, float* y) noexcept {
  const auto count = [&](uint32_t v) { return v + 1 < V ? 4 : part; };
  float32x4_t sums[V];
#pragma GCC unroll 8
  for (uint32_t v = 0; v < V; ++v) sums[v] = load_part(y + 4 * v, count(v));
  for (uint32_t r = 0; r < rows.count; ++r) {
    const std::byte* row = rows.data + r * rows.stride;
#pragma GCC unroll 8
    for (uint32_t v = 0; v < V; ++v) {
      const std::byte* at = row + 4 * v * Element::kBytes;
      const float32x4_t element = count(v) == 4 ? Element::load(at) : Element::load(at, part);
      sums[v] = vfmaq_n_f32(sums[v], element, weights[r]);
    }
  }
#pragma GCC unroll 8
  for (uint32_t v = 0; v < V; ++v) store_part(y + 4 * v, count(v), sums[v]);
}

template <class Element>
void mix_rows(kernel::Rows rows, uint32_t n, const float* weights, size_t weight_stride, uint32_t columns,
              float* y, size_t y_stride) noexcept {
  const auto at = [&](uint32_t i) {
    return kernel::Rows{rows.data + i * Element::kBytes, rows.stride, rows.count};
  };
  for (uint32_t c = 0; c < columns; ++c) {
    const float* w = weights + c * weight_stride;
    float* out = y + c * y_stride;
    uint32_t i = 0;
    for (; i + 32 <= n; i += 32) mix_tile<Element, 8>(at(i), 4, w, out + i);
    for (; i < n; i += 4) mix_tile<Element, 1>(at(i), part_of(n, i), w, out + i);
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

}  // namespace mach::neon
