// Dot products with rows and weighted sums of rows. Tiles keep 8 to 12 accumulators in registers: two fused
// multiply-adds start per cycle and each takes four or five.
#include "kernels/avx2/avx2_kernels.h"
#include "kernels/avx2/simd.h"

namespace mach::avx2 {
namespace {

// A stretch [begin, end) of the sums of R rows and C columns. Sums begin at zero, or go on from `carry` (16 lanes for each row
// r and column c at (c * kRowBlock + r) * 16); they end in y[c * y_stride + r], or in `carry` again.
struct Stretch {
  uint32_t begin, end;
  bool first, last;
};

constexpr uint32_t kRowBlock = 8;
constexpr uint32_t kColumnBlock = 64;

template <class Element, uint32_t R, uint32_t C>
void dot_tile(const std::byte* rows, uint64_t stride, const Stretch& stretch, const float* const* x,
              float* carry, float* y, size_t y_stride) noexcept {
  __m256 low[R][C];
  __m256 high[R][C];
#pragma GCC unroll 8
  for (uint32_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) {
      const float* lanes = carry + size_t{16} * (c * kRowBlock + r);
      low[r][c] = stretch.first ? _mm256_setzero_ps() : _mm256_load_ps(lanes);
      high[r][c] = stretch.first ? _mm256_setzero_ps() : _mm256_load_ps(lanes + 8);
    }
  }
  const auto step = [](__m256(&sums)[R][C], const __m256(&w)[R], uint32_t c, __m256 column) {
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) sums[r][c] = _mm256_fmadd_ps(w[r], column, sums[r][c]);
  };
  uint32_t i = stretch.begin;
  for (; i + 16 <= stretch.end; i += 16) {
    const std::byte* at = rows + i * Element::kBytes;
    __m256 w[R];
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) w[r] = Element::load(at + r * stride);
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) step(low, w, c, _mm256_loadu_ps(x[c] + i));
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) w[r] = Element::load(at + r * stride + 8 * Element::kBytes);
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) step(high, w, c, _mm256_loadu_ps(x[c] + i + 8));
  }
  if (i < stretch.end) {
    const uint32_t low_count = low_part(stretch.end - i);
    const uint32_t high_count = high_part(stretch.end - i);
    const std::byte* at = rows + i * Element::kBytes;
    __m256 w[R];
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) w[r] = Element::load(at + r * stride, low_count);
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) step(low, w, c, load_part(x[c] + i, low_count));
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) w[r] = Element::load(at + r * stride + 8 * Element::kBytes, high_count);
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) step(high, w, c, load_part(x[c] + i + 8, high_count));
  }
#pragma GCC unroll 8
  for (uint32_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) {
      if (stretch.last) {
        y[c * y_stride + r] = sum_lanes(low[r][c], high[r][c]);
        continue;
      }
      float* lanes = carry + size_t{16} * (c * kRowBlock + r);
      _mm256_store_ps(lanes, low[r][c]);
      _mm256_store_ps(lanes + 8, high[r][c]);
    }
  }
}

template <uint32_t R, uint32_t C>
struct Tile {};

// A stretch of all rows against all columns.
template <class Element>
void dot_stretch(kernel::Rows rows, const Stretch& stretch, const float* const* x, uint32_t columns,
                 float* carry, float* y, size_t y_stride) noexcept {
  const auto strip = [&]<uint32_t R, uint32_t C>(Tile<R, C>, uint32_t c) {
    const auto at = [&](uint32_t r) { return rows.data + r * rows.stride; };
    float* lanes = carry + size_t{16} * kRowBlock * c;
    float* out = y + c * y_stride;
    uint32_t r = 0;
    for (; r + R <= rows.count; r += R) {
      dot_tile<Element, R, C>(at(r), rows.stride, stretch, x + c, lanes + size_t{16} * r, out + r, y_stride);
    }
    for (; r < rows.count; ++r) {
      dot_tile<Element, 1, C>(at(r), rows.stride, stretch, x + c, lanes + size_t{16} * r, out + r, y_stride);
    }
  };
  uint32_t c = 0;
  for (; c + 3 <= columns; c += 3) strip(Tile<2, 3>{}, c);
  if (columns - c == 2) strip(Tile<2, 2>{}, c);
  if (columns - c == 1) strip(Tile<4, 1>{}, c);
}

// A few columns pass over each row once. Many pass over a block of rows in stretches that stay in the nearest cache together
// with the tile's columns; the lanes of their sums are kept in between.
constexpr uint32_t kFewColumns = 3;
constexpr uint32_t kStretch = 512;

uint32_t smaller(uint32_t a, uint32_t b) noexcept { return a < b ? a : b; }

template <class Element>
void dot_rows(kernel::Rows rows, uint32_t n, const float* const* x, uint32_t columns, float* y,
              size_t y_stride) noexcept {
  alignas(64) float carry[kRowBlock * kColumnBlock * 16];
  if (columns <= kFewColumns) {
    dot_stretch<Element>(rows, {0, n, true, true}, x, columns, carry, y, y_stride);
    return;
  }
  for (uint32_t r = 0; r < rows.count; r += kRowBlock) {
    const kernel::Rows block{rows.data + r * rows.stride, rows.stride, smaller(kRowBlock, rows.count - r)};
    for (uint32_t c = 0; c < columns; c += kColumnBlock) {
      const uint32_t width = smaller(kColumnBlock, columns - c);
      uint32_t begin = 0;
      do {
        const uint32_t end = begin + smaller(kStretch, n - begin);
        dot_stretch<Element>(block, {begin, end, begin == 0, end == n}, x + c, width, carry,
                             y + c * y_stride + r, y_stride);
        begin = end;
      } while (begin < n);
    }
  }
}

// Elements [0, 8 V) of C columns; `part` of the last eight exist.
template <class Element, uint32_t V, uint32_t C>
void mix_tile(kernel::Rows rows, uint32_t part, const float* weights, size_t weight_stride, float* y,
              size_t y_stride) noexcept {
  __m256 sums[C][V];
#pragma GCC unroll 8
  for (uint32_t c = 0; c < C; ++c) {
#pragma GCC unroll 8
    for (uint32_t v = 0; v < V; ++v) {
      const float* at = y + c * y_stride + 8 * v;
      sums[c][v] = v + 1 < V || part == 8 ? _mm256_loadu_ps(at) : load_part(at, part);
    }
  }
  for (uint32_t r = 0; r < rows.count; ++r) {
    const std::byte* row = rows.data + r * rows.stride;
    __m256 element[V];
#pragma GCC unroll 8
    for (uint32_t v = 0; v < V; ++v) {
      const std::byte* at = row + 8 * v * Element::kBytes;
      element[v] = v + 1 < V || part == 8 ? Element::load(at) : Element::load(at, part);
    }
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) {
      const __m256 weight = _mm256_broadcast_ss(weights + c * weight_stride + r);
#pragma GCC unroll 8
      for (uint32_t v = 0; v < V; ++v) sums[c][v] = _mm256_fmadd_ps(weight, element[v], sums[c][v]);
    }
  }
#pragma GCC unroll 8
  for (uint32_t c = 0; c < C; ++c) {
#pragma GCC unroll 8
    for (uint32_t v = 0; v < V; ++v) {
      float* at = y + c * y_stride + 8 * v;
      if (v + 1 < V || part == 8) {
        _mm256_storeu_ps(at, sums[c][v]);
      } else {
        store_part(at, part, sums[c][v]);
      }
    }
  }
}

template <class Element, uint32_t V, uint32_t C>
void mix_strip(kernel::Rows rows, uint32_t n, const float* weights, size_t weight_stride, float* y,
               size_t y_stride) noexcept {
  const auto at = [&](uint32_t i) {
    return kernel::Rows{rows.data + i * Element::kBytes, rows.stride, rows.count};
  };
  uint32_t i = 0;
  for (; i + 8 * V <= n; i += 8 * V) {
    mix_tile<Element, V, C>(at(i), 8, weights, weight_stride, y + i, y_stride);
  }
  for (; i < n; i += 8)
    mix_tile<Element, 1, C>(at(i), low_part(n - i), weights, weight_stride, y + i, y_stride);
}

// Rows are taken in blocks that stay in the nearest cache while the tiles pass over them; y carries the sums.
constexpr uint32_t kMixRows = 32;

template <class Element>
void mix_rows(kernel::Rows rows, uint32_t n, const float* weights, size_t weight_stride, uint32_t columns,
              float* y, size_t y_stride) noexcept {
  for (uint32_t r = 0; r < rows.count; r += kMixRows) {
    const uint32_t count = smaller(kMixRows, rows.count - r);
    const kernel::Rows block{rows.data + r * rows.stride, rows.stride, count};
    uint32_t c = 0;
    for (; c + 4 <= columns; c += 4) {
      mix_strip<Element, 2, 4>(block, n, weights + c * weight_stride + r, weight_stride, y + c * y_stride,
                               y_stride);
    }
    for (; c < columns; ++c) {
      mix_strip<Element, 8, 1>(block, n, weights + c * weight_stride + r, weight_stride, y + c * y_stride,
                               y_stride);
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

}  // namespace mach::avx2
