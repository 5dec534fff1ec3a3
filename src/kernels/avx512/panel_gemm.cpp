// Products of matrices in panel order (quant/panel_layout.h) with many columns of int8 activations. Up to 512 inputs of two
// panels are unpacked into a block of bytes and fp32 scales that stays in the nearest cache, and every column of the job
// passes over it in tiles of six columns (four of two terms), so a code is unpacked once per 96 columns and the loads of a
// step, two lines and six broadcasts, keep pace with its twelve dot products. Sums of a tile wait in a buffer between
// blocks of inputs. While a block is multiplied the next one is prefetched, so that arithmetic does not wait for memory.
//
// The arithmetic of a (row, column) is that of panels.cpp, operation by operation: which of the two computes a result
// cannot be told from its bits.
#include "kernels/avx512/avx512_kernels.h"
#include "kernels/avx512/panel_codes.h"
#include "kernels/panel_walk.h"

namespace mach::avx512 {
namespace {

constexpr uint32_t kDepth = 512;       // inputs of a block
constexpr uint32_t kPanels = 2;        // panels of a block
constexpr uint32_t kMostColumns = 96;  // that pass over a block before the next is unpacked
constexpr uint32_t kLine = 64;         // bytes
constexpr uint32_t kScaleGroup = 32;   // inputs that share a scale of the activations

// Two panels' codes and scales of up to kDepth inputs, ready to multiply.
struct Block {
  alignas(kLine) uint8_t codes[kDepth / 4][kPanels][kLine];  // by steps of four inputs
  alignas(kLine) float scales[kDepth / 16][kPanels][16];     // by group of the format
  alignas(kLine) float biases[kDepth / 32][kPanels][16];
};

struct Column {
  const int8_t* values;
  const int8_t* low;
  const float* scales;
  const float* sums;
};

struct Buffers {
  Block block;
  // Sums of the inputs so far.
  alignas(kLine) float y[kMostColumns][kPanels][16];
  // What integer sums begin with, [column][unit]; for codecs with an offset.
  int32_t starts[kMostColumns][kDepth / 16];
  Column columns[kMostColumns];
};

// The stripes of one block, and how many units of inputs and groups they hold.
struct Depth {
  uint32_t first_stripe, stripes;
  uint32_t first_col, cols;
};

template <class Codec>
void unpack_lines(const std::byte* codes, uint32_t blocks, uint8_t* out) noexcept {
  constexpr uint32_t kFields = 8 / Codec::kBits;
  constexpr size_t kStep = size_t{kPanels} * kLine;
  for (uint32_t block = 0; block < blocks; ++block) {
#pragma GCC unroll 8
    for (uint32_t j = 0; j < Codec::kBits; ++j, codes += kLine) {
      const __m512i line = _mm512_load_si512(codes);
      _mm512_store_si512(out + j * kStep, Codec::template codes<0>(line));
      if constexpr (kFields >= 2) {
        _mm512_store_si512(out + (Codec::kBits + j) * kStep, Codec::template codes<1>(line));
      }
      if constexpr (kFields == 4) {
        _mm512_store_si512(out + (2 * Codec::kBits + j) * kStep, Codec::template codes<2>(line));
        _mm512_store_si512(out + (3 * Codec::kBits + j) * kStep, Codec::template codes<3>(line));
      }
    }
    out += 8 * kStep;
  }
}

template <class Codec>
void unpack(const kernel::Int8Job& job, const std::byte* panel, const Depth& depth, uint32_t r,
            Block& block) noexcept {
  const WeightFormat& format = job.weight->format;
  const PanelLayout& layout = *job.layout;
  uint32_t step = 0;
  uint32_t group = 0;
  for (uint32_t s = depth.first_stripe; s < depth.first_stripe + depth.stripes; ++s) {
    const StripeWalk stripe = stripe_of(layout, format.group, job.weight->cols, s);
    const uint32_t groups = (stripe.cols + format.group - 1) / format.group;
    for (uint32_t g = 0; g < groups; ++g, ++group) {
      const size_t at = size_t{g} * layout.group_bytes;
      _mm512_store_ps(block.scales[group][r], load_scales(format.scale, panel + stripe.scales + at));
      if constexpr (Codec::kBiased) {
        _mm512_store_ps(block.biases[group][r], load_scales(format.scale, panel + stripe.biases + at));
      }
    }
    const uint32_t blocks = (stripe.cols + 31) / 32;
    unpack_lines<Codec>(panel + stripe.codes, blocks, block.codes[step][r]);
    step += 8 * blocks;
  }
}

inline __m512i repeat4(const int8_t* p) noexcept {
  int32_t four;
  __builtin_memcpy(&four, p, sizeof(four));
  return _mm512_set1_epi32(four);
}

// acc += dot products of fours. As assembly because GCC 12 otherwise copies every sum before it adds to it.
[[gnu::always_inline]] inline void dot4(__m512i& acc, __m512i codes, __m512i x) noexcept {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes), "v"(x));
}

// What will be wanted soon: `bytes` at each of two addresses. Tiles ask for it a few lines per unit of inputs, since a core has
// few buffers for lines on their way and a prefetch without one holds up the loads behind it.
struct Ahead {
  const std::byte* at[kPanels];
  size_t bytes;
  size_t per_unit;  // a whole number of lines

  [[gnu::always_inline]] void next() noexcept {
    const size_t now = bytes < per_unit ? bytes : per_unit;
    for (size_t i = 0; i < now; i += kLine) {
#pragma GCC unroll 8
      for (uint32_t r = 0; r < kPanels; ++r) _mm_prefetch(at[r] + i, _MM_HINT_T1);
    }
#pragma GCC unroll 8
    for (uint32_t r = 0; r < kPanels; ++r) at[r] += now;
    bytes -= now;
  }
};

// C columns over the units of a block. y [C][panels][16].
template <class Codec, uint32_t Terms, uint32_t C>
void tile(const Buffers& buffers, const Column* columns, uint32_t first_col, uint32_t units,
          uint32_t units_per_group, uint32_t sums_at, const int32_t (*starts)[kDepth / 16],
          float (*sums)[kPanels][16], Ahead& wanted) noexcept {
  constexpr uint32_t R = kPanels;
  constexpr float kScale = Codec::kScale / (Terms == 2 ? 256.0F : 1.0F);
  const Block& block = buffers.block;
  __m512 y[C][R];
  const int8_t* x[C];
#pragma GCC unroll 8
  for (uint32_t c = 0; c < C; ++c) {
    x[c] = columns[c].values + first_col;
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) y[c][r] = _mm512_load_ps(sums[c][r]);
  }
  [[maybe_unused]] const int8_t* low[C];
  if constexpr (Terms == 2) {
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) low[c] = columns[c].low + first_col;
  }
  const uint8_t* codes = block.codes[0][0];
  uint32_t group = 0;
  uint32_t in_group = 0;
  for (uint32_t unit = 0; unit < units; ++unit) {
    wanted.next();
    __m512i dots[Terms][C][R];
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) {
#pragma GCC unroll 8
      for (uint32_t r = 0; r < R; ++r) {
        dots[0][c][r] = _mm512_setzero_si512();
        if constexpr (Terms == 2) dots[1][c][r] = _mm512_setzero_si512();
        if constexpr (Codec::kOffset != 0) dots[Terms - 1][c][r] = _mm512_set1_epi32(starts[c][unit]);
      }
    }
    const uint32_t first = unit * Codec::kUnit;
#pragma GCC unroll 8
    for (uint32_t step = 0; step < Codec::kUnit / 4; ++step, codes += R * kLine) {
      const __m512i w0 = _mm512_load_si512(codes);
      const __m512i w1 = _mm512_load_si512(codes + kLine);
#pragma GCC unroll 8
      for (uint32_t c = 0; c < C; ++c) {
        const __m512i four = repeat4(x[c] + first + 4 * step);
        dot4(dots[0][c][0], w0, four);
        dot4(dots[0][c][1], w1, four);
        if constexpr (Terms == 2) {
          const __m512i fine = repeat4(low[c] + first + 4 * step);
          dot4(dots[1][c][0], w0, fine);
          dot4(dots[1][c][1], w1, fine);
        }
      }
    }
    const uint32_t x_group = (first_col + first) / kScaleGroup;
    __m512 scale[R];
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) scale[r] = _mm512_load_ps(block.scales[group][r]);
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) {
      __m512 x_scale = all(columns[c].scales[x_group]);
      if constexpr (kScale != 1.0F) x_scale = _mm512_mul_ps(x_scale, all(kScale));
#pragma GCC unroll 8
      for (uint32_t r = 0; r < R; ++r) {
        __m512i dot = dots[0][c][r];
        if constexpr (Terms == 2) dot = _mm512_add_epi32(_mm512_slli_epi32(dot, 8), dots[1][c][r]);
        y[c][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(scale[r], x_scale), y[c][r]);
      }
    }
    if (++in_group == units_per_group) {
      if constexpr (Codec::kBiased) {
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; ++r) scale[r] = _mm512_load_ps(block.biases[group][r]);
#pragma GCC unroll 8
        for (uint32_t c = 0; c < C; ++c) {
          const __m512 sum = all(columns[c].sums[sums_at + group]);
#pragma GCC unroll 8
          for (uint32_t r = 0; r < R; ++r) y[c][r] = _mm512_fmadd_ps(scale[r], sum, y[c][r]);
        }
      }
      in_group = 0;
      ++group;
    }
  }
#pragma GCC unroll 8
  for (uint32_t c = 0; c < C; ++c) {
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) _mm512_store_ps(sums[c][r], y[c][r]);
  }
}

template <class Codec, uint32_t Terms>
class Gemm {
 public:
  Gemm(const kernel::Int8Job& job, Buffers& buffers) noexcept : job_(job), buffers_(buffers) {}

  void run() noexcept {
    for (uint32_t first = 0; first < job_.column_count; first += kMostColumns) {
      const uint32_t left = job_.column_count - first;
      columns_ = left < kMostColumns ? left : kMostColumns;
      load_columns(first);
      for (uint32_t row = job_.row_begin; row < job_.row_end; row += kPanels * kPanelRows) {
        two_panels(row);
        store(first, row);
      }
    }
  }

 private:
  static constexpr uint32_t kTile = Terms == 2 ? 4 : 6;

  void load_columns(uint32_t first) noexcept {
    for (uint32_t i = 0; i < columns_; ++i) {
      const size_t c = job_.columns == nullptr ? first + i : job_.columns[first + i];
      buffers_.columns[i] = {job_.x.values + c * job_.x.value_stride,
                             Terms == 2 ? job_.x.low + c * job_.x.value_stride : nullptr,
                             job_.x.scales + c * job_.x.scale_stride, job_.x.sums + c * job_.x.sum_stride};
    }
    first_column_ = first;
  }

  const std::byte* panel(uint32_t row) const noexcept {
    return job_.weight->codes.data + size_t{row} / kPanelRows * job_.layout->panel_bytes;
  }
  // A panel beyond the last row is replaced by the last one; its results are dropped.
  uint32_t second(uint32_t row) const noexcept {
    return row + kPanelRows < job_.row_end ? row + kPanelRows : row;
  }

  void two_panels(uint32_t row) noexcept {
    const PanelLayout& layout = *job_.layout;
    const uint32_t cols = job_.weight->cols;
    const uint32_t stripes = stripes_of(layout, cols);
    const uint32_t at_once = kDepth / layout.stripe_cols;
    const std::byte* panels[kPanels] = {panel(row), panel(second(row))};
    for (uint32_t c = 0; c < columns_; ++c) {
      for (auto& y : buffers_.y[c]) _mm512_store_ps(y, _mm512_setzero_ps());
    }
    for (uint32_t s = 0; s < stripes; s += at_once) {
      Depth depth{s, stripes - s < at_once ? stripes - s : at_once, s * layout.stripe_cols, 0};
      const uint32_t left = cols - depth.first_col;
      depth.cols = left < kDepth ? left : depth.stripes * layout.stripe_cols;
      for (uint32_t r = 0; r < kPanels; ++r) unpack<Codec>(job_, panels[r], depth, r, buffers_.block);
      if constexpr (Codec::kOffset != 0) load_starts(depth);
      all_columns(depth, ahead(row, s + at_once, stripes, at_once));
    }
  }

  // The stripes that come after those before `next` of the two panels at `row`.
  Ahead ahead(uint32_t row, uint32_t next, uint32_t stripes, uint32_t at_once) const noexcept {
    const PanelLayout& layout = *job_.layout;
    if (next >= stripes) {
      row += kPanels * kPanelRows;
      next = 0;
    }
    const size_t begin = size_t{next} * layout.stripe_bytes;
    size_t bytes = size_t{at_once} * layout.stripe_bytes;
    if (layout.panel_bytes - begin < bytes) bytes = layout.panel_bytes - begin;
    if (row >= job_.row_end) {
      if (job_.next == nullptr) return {{nullptr, nullptr}, 0, 0};
      return {{job_.next, job_.next + layout.panel_bytes}, bytes, 0};
    }
    return {{panel(row) + begin, panel(second(row)) + begin}, bytes, 0};
  }

  void load_starts(const Depth& depth) noexcept {
    constexpr uint32_t kTotals = Codec::kUnit / 16;
    const uint32_t units = (depth.cols + Codec::kUnit - 1) / Codec::kUnit;
    for (uint32_t i = 0; i < columns_; ++i) {
      const size_t c = job_.columns == nullptr ? first_column_ + i : job_.columns[first_column_ + i];
      const int32_t* totals = job_.x.totals + c * job_.x.total_stride + depth.first_col / 16;
      for (uint32_t u = 0; u < units; ++u) {
        int32_t total = totals[kTotals * u];
        if constexpr (kTotals == 2) total += totals[kTotals * u + 1];
        buffers_.starts[i][u] = -Codec::kOffset * total;
      }
    }
  }

  void all_columns(const Depth& depth, Ahead next) noexcept {
    const uint32_t units = (depth.cols + Codec::kUnit - 1) / Codec::kUnit;
    uint32_t tiles = (columns_ + kTile - 1) / kTile;
    next.per_unit = (next.bytes / (tiles * units) + kLine) / kLine * kLine;
    for (uint32_t first = 0; first < columns_; --tiles) {
      const uint32_t width = (columns_ - first + tiles - 1) / tiles;
      switch (width) {
        case 1:
          one_tile<1>(depth, units, first, next);
          break;
        case 2:
          one_tile<2>(depth, units, first, next);
          break;
        case 3:
          one_tile<3>(depth, units, first, next);
          break;
        case 4:
          one_tile<4>(depth, units, first, next);
          break;
        default:
          if constexpr (Terms == 1) {
            if (width == 5) one_tile<5>(depth, units, first, next);
            if (width == 6) one_tile<6>(depth, units, first, next);
          }
          break;
      }
      first += width;
    }
  }

  template <uint32_t C>
  void one_tile(const Depth& depth, uint32_t units, uint32_t first, Ahead& next) noexcept {
    const uint32_t group = job_.weight->format.group;
    tile<Codec, Terms, C>(buffers_, buffers_.columns + first, depth.first_col, units, group / Codec::kUnit,
                          depth.first_col / group, buffers_.starts + first, buffers_.y + first, next);
  }

  void store(uint32_t first, uint32_t row) noexcept {
    const __m512 scale = all(job_.weight->global_scale);
    for (uint32_t r = 0; r < kPanels; ++r) {
      const uint32_t at = row + r * kPanelRows;
      if (at >= job_.row_end) break;
      const __mmask16 lanes = first_lanes(job_.row_end - at);
      for (uint32_t c = 0; c < columns_; ++c) {
        store_part(job_.y + (first + c) * job_.y_stride + at, lanes,
                   _mm512_mul_ps(_mm512_load_ps(buffers_.y[c][r]), scale));
      }
    }
  }

  const kernel::Int8Job& job_;
  Buffers& buffers_;
  uint32_t columns_ = 0;
  uint32_t first_column_ = 0;
};

template <class Codec>
void gemm(const kernel::Int8Job& job) noexcept {
  static_assert(sizeof(Buffers) <= kernel::kInt8PanelScratch);
  auto& buffers = *reinterpret_cast<Buffers*>(job.scratch);
  if (job.x.low == nullptr) {
    Gemm<Codec, 1>(job, buffers).run();
  } else {
    Gemm<Codec, 2>(job, buffers).run();
  }
}

}  // namespace

void gemm_affine2(const kernel::Int8Job& job) noexcept { gemm<Affine<2, 32>>(job); }
void gemm_affine4(const kernel::Int8Job& job) noexcept { gemm<Affine<4, 32>>(job); }
void gemm_affine8(const kernel::Int8Job& job) noexcept { gemm<Affine<8, 32>>(job); }
void gemm_mxfp4(const kernel::Int8Job& job) noexcept { gemm<Fp4<32>>(job); }
void gemm_nvfp4(const kernel::Int8Job& job) noexcept { gemm<Fp4<16>>(job); }

}  // namespace mach::avx512
