// Products of bf16 rows as they lie in a checkpoint: an instruction multiplies 32 inputs of a row with 32 of a column, two to
// a lane, and adds to 16 sums. Nothing is widened or packed, so weights cost what reading them costs.
//
// The order of a sum is fixed, whatever the tile: a lane adds its pairs of inputs in order, of each pair first the high and
// then the low term; lanes are added at the end by sum_lanes(). Tiles differ only in how many sums go side by side.
//   One to five columns: rows are read once, eight or four at a time, and the rows behind them are prefetched meanwhile:
//     streams that begin anew at every row would wait for memory.
//   More: a block of rows passes over the columns in stretches of inputs that stay in the nearest cache; sums wait in
//     scratch from stretch to stretch. A block of columns stays in the second cache for all rows of the job.
#include <immintrin.h>

#include "kernels/avx512bf16/avx512bf16_kernels.h"

namespace mach::avx512bf16 {
namespace {

using kernel::Bf16Job;

constexpr uint32_t kStep = 32;         // inputs of an instruction
constexpr uint32_t kMostRows = 16;     // that pass over many columns together
constexpr uint32_t kColumnBlock = 64;  // columns that rows pass over together
constexpr uint32_t kFewColumns = 5;    // no more than a tile has
static_assert(size_t{kMostRows} * kColumnBlock * 64 <= kernel::kBf16Scratch);

// Rows of a block and inputs of a stretch: 32 KiB of weights, and 20 KiB of a tile's columns. With two terms a column is used
// twice as long before it leaves the nearest cache, so shorter stretches of more rows win (measured).
template <bool kTwoTerms>
constexpr uint32_t kRowBlock = kTwoTerms ? kMostRows : kMostRows / 2;
template <bool kTwoTerms>
constexpr uint32_t kStretch = kTwoTerms ? 1024 : 2048;

inline uint32_t smaller(uint32_t a, uint32_t b) noexcept { return a < b ? a : b; }

inline __m512bh as_bf16(__m512i v) noexcept { return reinterpret_cast<__m512bh>(v); }
inline __m512i load64(const std::byte* p) noexcept { return _mm512_loadu_si512(p); }
inline __m512i load_first(const std::byte* p, uint32_t n) noexcept {
  return _mm512_maskz_loadu_epi16((__mmask32{1} << n) - 1U, p);
}

// The sums of the lanes of four registers, each by the same tree: within 128 bits i with i + 2, then the two; then the four
// parts of a register alike.
inline __m128 sum_lanes(__m512 a, __m512 b, __m512 c, __m512 d) noexcept {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  const __m512 all = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

template <uint32_t R>
void store_sums(const __m512 (&sums)[R], float* y) noexcept {
  if constexpr (R == 1) {
    _mm_store_ss(y, sum_lanes(sums[0], sums[0], sums[0], sums[0]));
  } else {
#pragma GCC unroll 2
    for (uint32_t r = 0; r < R; r += 4)
      _mm_storeu_ps(y + r, sum_lanes(sums[r], sums[r + 1], sums[r + 2], sums[r + 3]));
  }
}

// Inputs [begin, end) of a sum.
struct Stretch {
  uint32_t begin, end;
  bool first, last;
};

// What a tile reads ahead while it computes: nothing, one row, or all rows as far away as its own.
enum class Ahead : uint8_t { kNothing, kOneRow, kAllRows };

struct Tile {
  const std::byte* rows;
  uint64_t stride;
  const std::byte* const* high;  // columns
  const std::byte* const* low;
  const std::byte* ahead;  // the first row to prefetch
  float* carry;            // lanes of row r and column c at (c * kMostRows + r) * 16
  float* y;
  size_t y_stride;
};

template <uint32_t R, uint32_t C, bool kTwoTerms, Ahead kAhead>
void dot_tile(const Tile& tile, const Stretch& stretch) noexcept {
  __m512 sums[C][R];
#pragma GCC unroll 8
  for (uint32_t c = 0; c < C; ++c) {
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) {
      const float* lanes = tile.carry + size_t{16} * (c * kMostRows + r);
      sums[c][r] = stretch.first ? _mm512_setzero_ps() : _mm512_load_ps(lanes);
    }
  }
  const auto step = [&](const __m512i(&w)[R], size_t at) {
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) {
      const __m512bh high = as_bf16(load64(tile.high[c] + at));
#pragma GCC unroll 8
      for (uint32_t r = 0; r < R; ++r) sums[c][r] = _mm512_dpbf16_ps(sums[c][r], as_bf16(w[r]), high);
    }
    if constexpr (kTwoTerms) {
#pragma GCC unroll 8
      for (uint32_t c = 0; c < C; ++c) {
        const __m512bh low = as_bf16(load64(tile.low[c] + at));
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; ++r) sums[c][r] = _mm512_dpbf16_ps(sums[c][r], as_bf16(w[r]), low);
      }
    }
  };
  constexpr uint32_t kAheadRows = kAhead == Ahead::kAllRows ? R : kAhead == Ahead::kOneRow ? 1 : 0;
  uint32_t i = stretch.begin;
  for (; i + kStep <= stretch.end; i += kStep) {
    const size_t at = size_t{2} * i;
    __m512i w[R];
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) w[r] = load64(tile.rows + r * tile.stride + at);
#pragma GCC unroll 8
    for (uint32_t r = 0; r < kAheadRows; ++r)
      _mm_prefetch(reinterpret_cast<const char*>(tile.ahead + r * tile.stride + at), _MM_HINT_T1);
    step(w, at);
  }
  if (i < stretch.end) {
    const size_t at = size_t{2} * i;
    __m512i w[R];
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) w[r] = load_first(tile.rows + r * tile.stride + at, stretch.end - i);
    step(w, at);
  }
#pragma GCC unroll 8
  for (uint32_t c = 0; c < C; ++c) {
    if (stretch.last) {
      store_sums<R>(sums[c], tile.y + c * tile.y_stride);
      continue;
    }
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r)
      _mm512_store_ps(tile.carry + size_t{16} * (c * kMostRows + r), sums[c][r]);
  }
}

// A block of rows against columns, all described by the tile at its corner. R rows at a time, the rest one by one.
template <uint32_t R, uint32_t C, bool kTwoTerms, Ahead kAhead>
void strip(Tile tile, uint32_t rows, const Stretch& stretch) noexcept {
  const auto advance = [&](uint32_t count) {
    tile.rows += count * tile.stride;
    if constexpr (kAhead != Ahead::kNothing) tile.ahead += count * tile.stride;
    tile.carry += size_t{16} * count;
    tile.y += count;
  };
  uint32_t r = 0;
  for (; r + R <= rows; r += R, advance(R)) dot_tile<R, C, kTwoTerms, kAhead>(tile, stretch);
  for (; r < rows; ++r, advance(1)) dot_tile<1, C, kTwoTerms, Ahead::kNothing>(tile, stretch);
}

// The last columns of a block, or all of few: fewer columns leave registers for more rows.
template <bool kTwoTerms, Ahead kAhead>
void narrow_strip(const Tile& tile, uint32_t rows, uint32_t columns, const Stretch& stretch) noexcept {
  switch (columns) {
    case 1:
      return strip<8, 1, kTwoTerms, kAhead>(tile, rows, stretch);
    case 2:
      return strip<8, 2, kTwoTerms, kAhead>(tile, rows, stretch);
    case 3:
      return strip<4, 3, kTwoTerms, kAhead>(tile, rows, stretch);
    case 4:
      return strip<4, 4, kTwoTerms, kAhead>(tile, rows, stretch);
    case 5:
      return strip<4, 5, kTwoTerms, kAhead>(tile, rows, stretch);
    default:
      return;
  }
}

// The columns of a job that rows pass over together.
struct ColumnBlock {
  ColumnBlock(const Bf16Job& job, uint32_t first) noexcept
      : count(smaller(kColumnBlock, job.column_count - first)) {
    for (uint32_t c = 0; c < count; ++c) {
      const size_t column = job.columns != nullptr ? job.columns[first + c] : first + c;
      high[c] = job.x.high + column * job.x.stride * 2;
      low[c] = job.x.low != nullptr ? job.x.low + column * job.x.stride * 2 : nullptr;
    }
  }
  uint32_t count;
  const std::byte* high[kColumnBlock];
  const std::byte* low[kColumnBlock];
};

// Rows that many columns pass over are prefetched by the first strips of the block before them: a row of each tile per strip,
// or all in the first where there are not enough strips.
template <bool kTwoTerms>
void wide_stretch(Tile tile, uint32_t rows, uint32_t columns, const Stretch& stretch) noexcept {
  constexpr uint32_t kTileRows = 4;
  const std::byte* ahead = tile.ahead;
  const uint32_t strips = columns / kFewColumns;
  const bool spread = strips >= kTileRows;
  for (uint32_t s = 0; s < strips; ++s) {
    if (ahead != nullptr && spread && s < kTileRows) {
      tile.ahead = ahead + s * tile.stride;
      strip<kTileRows, kFewColumns, kTwoTerms, Ahead::kOneRow>(tile, rows, stretch);
    } else if (ahead != nullptr && s == 0) {
      strip<kTileRows, kFewColumns, kTwoTerms, Ahead::kAllRows>(tile, rows, stretch);
    } else {
      strip<kTileRows, kFewColumns, kTwoTerms, Ahead::kNothing>(tile, rows, stretch);
    }
    tile.high += kFewColumns;
    tile.low += kFewColumns;
    tile.carry += size_t{16} * kMostRows * kFewColumns;
    tile.y += kFewColumns * tile.y_stride;
  }
  narrow_strip<kTwoTerms, Ahead::kNothing>(tile, rows, columns % kFewColumns, stretch);
}

template <bool kTwoTerms>
void multiply(const Bf16Job& job) noexcept {
  constexpr uint32_t kBlock = kRowBlock<kTwoTerms>;
  const Plane& codes = job.weight->codes;
  const uint32_t n = job.weight->cols;
  const bool few = job.column_count <= kFewColumns;
  const uint32_t stretches = few ? 1 : (n + kStretch<kTwoTerms> - 1) / kStretch<kTwoTerms>;
  const uint32_t length = stretches < 2 ? n : ((n + stretches - 1) / stretches + kStep - 1) / kStep * kStep;
  for (uint32_t c = 0; c < job.column_count; c += kColumnBlock) {
    const ColumnBlock columns(job, c);
    for (uint32_t r = job.row_begin; r < job.row_end; r += kBlock) {
      const uint32_t rows = smaller(kBlock, job.row_end - r);
      // Rows behind the job's own are the next job of the same thread.
      const bool more = c == 0 && r + 2 * kBlock <= job.weight->rows;
      const Tile tile{.rows = codes.data + r * codes.row_stride,
                      .stride = codes.row_stride,
                      .high = columns.high,
                      .low = columns.low,
                      .ahead = more ? codes.data + (r + kBlock) * codes.row_stride : nullptr,
                      .carry = reinterpret_cast<float*>(job.scratch),
                      .y = job.y + c * job.y_stride + r,
                      .y_stride = job.y_stride};
      if (few && more) {
        narrow_strip<kTwoTerms, Ahead::kAllRows>(tile, rows, columns.count, {0, n, true, true});
      } else if (few) {
        narrow_strip<kTwoTerms, Ahead::kNothing>(tile, rows, columns.count, {0, n, true, true});
      } else {
        uint32_t begin = 0;
        do {
          const uint32_t end = begin + smaller(length, n - begin);
          wide_stretch<kTwoTerms>(tile, rows, columns.count, {begin, end, begin == 0, end == n});
          begin = end;
        } while (begin < n);
      }
    }
  }
}

}  // namespace

void multiply_bf16(const Bf16Job& job) noexcept {
  if (job.x.low != nullptr) {
    multiply<true>(job);
  } else {
    multiply<false>(job);
  }
}

}  // namespace mach::avx512bf16
