// Products of matrices in panel order (quant/panel_layout.h) with int8 activations. A line of codes holds, per field, four
// inputs of 16 rows: vpdpbusd multiplies it with four activations that a broadcast load repeats for every row, so lane r
// collects row r and nothing is ever summed across lanes. Codes are unpacked in registers, beside the dot products: two
// panels of 4-bit codes stay in the nearest cache while all columns of the call pass over them in tiles of up to six.
//
// Activations of two terms take two dot products whose sums are joined as integers, 256 * high + low.
//
// Per (row, column), whatever the tile: units of inputs in ascending order, each y = fma(float(dot), weight scale *
// activation scale, y), and at the end of a weight group y = fma(bias, sum of activations, y). Integer sums are exact.
#include "kernels/avx512/avx512_kernels.h"
#include "kernels/avx512/unpack.h"
#include "kernels/panel_walk.h"

namespace mach::avx512 {
namespace {

constexpr uint32_t kBlock = 32;    // inputs of a block of lines
constexpr uint32_t kLine = 64;     // bytes
constexpr uint32_t kMostSums = 6;  // columns x terms of a tile: with two panels 12 integer and 12 float sums
constexpr size_t kAhead =
    4096;  // bytes between what is used and what is prefetched, where memory is the limit

inline __m512i repeat4(const int8_t* p) noexcept {
  int32_t four;
  __builtin_memcpy(&four, p, sizeof(four));
  return _mm512_set1_epi32(four);
}

// Field `Field` of a line of Bits-wide codes, as bytes.
template <uint32_t Bits, uint32_t Field>
__m512i field(__m512i line) noexcept {
  if constexpr (Bits == 8) {
    return line;
  } else {
    const __m512i mask = _mm512_set1_epi8((1 << Bits) - 1);
    return _mm512_and_si512(Field == 0 ? line : _mm512_srli_epi16(line, Bits * Field), mask);
  }
}

// What distinguishes codecs. kUnit: inputs whose products are summed as integers before scales apply.
template <uint32_t BitsPerCode, uint32_t Unit>
struct Affine {
  static constexpr uint32_t kBits = BitsPerCode;
  static constexpr uint32_t kUnit = Unit;
  static constexpr bool kBiased = true;
  static constexpr float kScale = 1.0F;
  template <uint32_t Field>
  static __m512i codes(__m512i line) noexcept {
    return field<kBits, Field>(line);
  }
  static __m512i start(int32_t) noexcept { return _mm512_setzero_si512(); }
};

// E2M1 codes as 2 * value + 12 in [0, 24]; sums begin with what that adds.
template <uint32_t Unit>
struct Fp4 {
  static constexpr uint32_t kBits = 4;
  static constexpr uint32_t kUnit = Unit;
  static constexpr bool kBiased = false;
  static constexpr float kScale = 0.5F;
  template <uint32_t Field>
  static __m512i codes(__m512i line) noexcept {
    const __m512i table =
        _mm512_broadcast_i32x4(_mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    return _mm512_shuffle_epi8(table, field<4, Field>(line));
  }
  static __m512i start(int32_t total) noexcept { return _mm512_set1_epi32(-12 * total); }
};

// Inlined by force: a call in the middle of a tile would spill all its sums.
[[gnu::always_inline]] inline __m512 load_scales(ScaleType type, const std::byte* p) noexcept {
  switch (type) {
    case ScaleType::kBF16:
      return BF16::load(p);
    case ScaleType::kF16:
      return F16::load(p);
    case ScaleType::kE8M0:
      return widen_e8m0(load16(p));
    case ScaleType::kE4M3:
      return widen_e4m3(load16(p));
    case ScaleType::kF32:
    case ScaleType::kNone:
      break;
  }
  return F32::load(p);
}

struct Column {
  const int8_t* values;
  const int8_t* low;
  const float* scales;
  const float* sums;
  const int32_t* totals;
  float* y;
};

// R panels against C columns.
template <class Codec, uint32_t Terms, uint32_t R, uint32_t C>
void tile(const kernel::Int8Job& job, const std::byte* panels, uint32_t row,
          const Column (&columns)[C]) noexcept {
  constexpr uint32_t kFields = 8 / Codec::kBits;
  constexpr uint32_t kLines = Codec::kBits;
  constexpr uint32_t kChains =
      R * C >= 6 ? 1 : 2;  // enough independent sums to hide the latency of a dot product
  constexpr bool kHalves = Codec::kUnit == 16;  // a field is a unit
  constexpr float kScale = Codec::kScale / (Terms == 2 ? 256.0F : 1.0F);
  using Dots = __m512i[Terms][kChains][R][C];
  __m512 y[R][C];
#pragma GCC unroll 8
  for (uint32_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) y[r][c] = _mm512_setzero_ps();
  }
  const WeightFormat& format = job.weight->format;
  const PanelLayout& layout = *job.layout;
  const uint32_t stripes = stripes_of(layout, job.weight->cols);
  for (uint32_t s = 0; s < stripes; ++s) {
    const StripeWalk stripe = stripe_of(layout, format.group, job.weight->cols, s);
    const std::byte* at[R];
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) at[r] = panels + r * layout.panel_bytes;

    const auto joined = [](const __m512i(&chains)[kChains][R][C], uint32_t r, uint32_t c) {
      if constexpr (kChains == 2) return _mm512_add_epi32(chains[0][r][c], chains[1][r][c]);
      return chains[0][r][c];
    };
    // One unit's integer sums are finished: scale them.
    const auto scale_unit = [&](const Dots& dots, uint32_t col, uint32_t group) {
      __m512 scale[R];
      __m512 bias[R];
#pragma GCC unroll 8
      for (uint32_t r = 0; r < R; ++r) {
        scale[r] = load_scales(format.scale, at[r] + stripe.scales + size_t{group} * layout.group_bytes);
        if constexpr (Codec::kBiased) {
          bias[r] = load_scales(format.scale, at[r] + stripe.biases + size_t{group} * layout.group_bytes);
        }
      }
      const bool ends_group = Codec::kBiased && (col + Codec::kUnit) % format.group == 0;
#pragma GCC unroll 8
      for (uint32_t c = 0; c < C; ++c) {
        __m512 x_scale = all(columns[c].scales[col / kBlock]);
        if constexpr (kScale != 1.0F) x_scale = _mm512_mul_ps(x_scale, all(kScale));
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; ++r) {
          __m512i dot = joined(dots[0], r, c);
          if constexpr (Terms == 2) dot = _mm512_add_epi32(_mm512_slli_epi32(dot, 8), joined(dots[1], r, c));
          y[r][c] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(scale[r], x_scale), y[r][c]);
        }
      }
      if (ends_group) {
#pragma GCC unroll 8
        for (uint32_t c = 0; c < C; ++c) {
          const __m512 sum = all(columns[c].sums[stripe.first_group + group]);
#pragma GCC unroll 8
          for (uint32_t r = 0; r < R; ++r) y[r][c] = _mm512_fmadd_ps(bias[r], sum, y[r][c]);
        }
      }
    };
    const auto start = [&](Dots& dots, uint32_t col) {
#pragma GCC unroll 8
      for (uint32_t c = 0; c < C; ++c) {
        const int32_t* totals = columns[c].totals + col / 16;
        const __m512i first = Codec::start(kHalves ? totals[0] : totals[0] + totals[1]);
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; ++r) {
#pragma GCC unroll 2
          for (uint32_t t = 0; t < Terms; ++t) {
            dots[t][0][r][c] = t + 1 == Terms ? first : _mm512_setzero_si512();
            if constexpr (kChains == 2) dots[t][1][r][c] = _mm512_setzero_si512();
          }
        }
      }
    };
    const auto add = [&]<uint32_t Field>(const __m512i(&lines)[R], Dots& dots, uint32_t col, uint32_t chain) {
      __m512i codes[R];
#pragma GCC unroll 8
      for (uint32_t r = 0; r < R; ++r) codes[r] = Codec::template codes<Field>(lines[r]);
#pragma GCC unroll 8
      for (uint32_t c = 0; c < C; ++c) {
        const uint32_t first = col + 4 * kLines * Field;
        const __m512i x = repeat4(columns[c].values + first);
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; ++r)
          dots[0][chain][r][c] = _mm512_dpbusd_epi32(dots[0][chain][r][c], codes[r], x);
        if constexpr (Terms == 2) {
          const __m512i low = repeat4(columns[c].low + first);
#pragma GCC unroll 8
          for (uint32_t r = 0; r < R; ++r)
            dots[1][chain][r][c] = _mm512_dpbusd_epi32(dots[1][chain][r][c], codes[r], low);
        }
      }
    };
    const auto load = [&](__m512i(&lines)[R], size_t offset) {
#pragma GCC unroll 8
      for (uint32_t r = 0; r < R; ++r) {
        _mm_prefetch(at[r] + offset + kAhead, _MM_HINT_T0);
        lines[r] = _mm512_load_si512(at[r] + offset);
      }
    };

    const uint32_t padded = (stripe.cols + kBlock - 1) / kBlock * kBlock;
    size_t offset = stripe.codes;
    for (uint32_t in_stripe = 0; in_stripe < padded; in_stripe += kHalves ? kBlock : Codec::kUnit) {
      const uint32_t col = stripe.first_col + in_stripe;
      if constexpr (kHalves) {
        Dots low;
        Dots high;
        start(low, col);
        start(high, col + 16);
        for (uint32_t j = 0; j < kLines; ++j, offset += kLine) {
          __m512i lines[R];
          load(lines, offset);
          add.template operator()<0>(lines, low, col + 4 * j, j % kChains);
          add.template operator()<1>(lines, high, col + 4 * j, j % kChains);
        }
        scale_unit(low, col, in_stripe / 16);
        if (in_stripe + 16 < stripe.cols) scale_unit(high, col + 16, in_stripe / 16 + 1);
      } else {
        Dots dots;
        start(dots, col);
        for (uint32_t block = 0; block < Codec::kUnit; block += kBlock) {
#pragma GCC unroll 2
          for (uint32_t j = 0; j < kLines; ++j, offset += kLine) {
            __m512i lines[R];
            load(lines, offset);
            const uint32_t first = col + block + 4 * j;
            add.template operator()<0>(lines, dots, first, kFields == 1 ? j % kChains : 0);
            if constexpr (kFields >= 2) add.template operator()<1>(lines, dots, first, 1 % kChains);
            if constexpr (kFields == 4) {
              add.template operator()<2>(lines, dots, first, 0);
              add.template operator()<3>(lines, dots, first, 1 % kChains);
            }
          }
        }
        scale_unit(dots, col, in_stripe / format.group);
      }
    }
  }
#pragma GCC unroll 8
  for (uint32_t r = 0; r < R; ++r) {
    const uint32_t first = row + kPanelRows * r;
    const __mmask16 lanes = first_lanes(job.row_end - first);
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) {
      store_part(columns[c].y + first, lanes, _mm512_mul_ps(y[r][c], all(job.weight->global_scale)));
    }
  }
}

template <uint32_t C>
void load_columns(const kernel::Int8Job& job, uint32_t first, Column (&columns)[C]) noexcept {
  for (uint32_t i = 0; i < C; ++i) {
    const size_t c = job.columns == nullptr ? first + i : job.columns[first + i];
    columns[i] = {job.x.values + c * job.x.value_stride, job.x.low + c * job.x.value_stride,
                  job.x.scales + c * job.x.scale_stride, job.x.sums + c * job.x.sum_stride,
                  job.x.totals + c * job.x.total_stride, job.y + (first + i) * job.y_stride};
  }
}

template <class Codec, uint32_t Terms, uint32_t R, uint32_t C>
void columns_tile(const kernel::Int8Job& job, const std::byte* panels, uint32_t row,
                  uint32_t first) noexcept {
  Column columns[C];
  load_columns(job, first, columns);
  tile<Codec, Terms, R, C>(job, panels, row, columns);
}

// All columns of the job over R panels, in tiles that differ by one column at most.
template <class Codec, uint32_t Terms, uint32_t R>
void all_columns(const kernel::Int8Job& job, const std::byte* panels, uint32_t row) noexcept {
  constexpr uint32_t kMost = kMostSums / Terms;
  uint32_t tiles = (job.column_count + kMost - 1) / kMost;
  for (uint32_t first = 0; first < job.column_count; --tiles) {
    const uint32_t width = (job.column_count - first + tiles - 1) / tiles;
    switch (width) {
      case 1:
        columns_tile<Codec, Terms, R, 1>(job, panels, row, first);
        break;
      case 2:
        columns_tile<Codec, Terms, R, 2>(job, panels, row, first);
        break;
      case 3:
        columns_tile<Codec, Terms, R, 3>(job, panels, row, first);
        break;
      default:
        if constexpr (Terms == 1) {
          if (width == 4) columns_tile<Codec, Terms, R, 4>(job, panels, row, first);
          if (width == 5) columns_tile<Codec, Terms, R, 5>(job, panels, row, first);
          if (width == 6) columns_tile<Codec, Terms, R, 6>(job, panels, row, first);
        }
        break;
    }
    first += width;
  }
}

template <class Codec, uint32_t Terms>
void all_panels(const kernel::Int8Job& job) noexcept {
  const auto at = [&](uint32_t row) {
    return job.weight->codes.data + row / kPanelRows * job.layout->panel_bytes;
  };
  uint32_t row = job.row_begin;
  if (job.column_count > 1) {
    for (; row + kPanelRows < job.row_end; row += 2 * kPanelRows) {
      all_columns<Codec, Terms, 2>(job, at(row), row);
    }
  }
  for (; row < job.row_end; row += kPanelRows) all_columns<Codec, Terms, 1>(job, at(row), row);
}

template <class Codec>
void panels(const kernel::Int8Job& job) noexcept {
  if (job.x.low == nullptr) return all_panels<Codec, 1>(job);
  all_panels<Codec, 2>(job);
}

}  // namespace

void panels_affine2(const kernel::Int8Job& job) noexcept { panels<Affine<2, 32>>(job); }
void panels_affine4(const kernel::Int8Job& job) noexcept { panels<Affine<4, 32>>(job); }
void panels_affine8(const kernel::Int8Job& job) noexcept { panels<Affine<8, 32>>(job); }
void panels_mxfp4(const kernel::Int8Job& job) noexcept { panels<Fp4<32>>(job); }
void panels_nvfp4(const kernel::Int8Job& job) noexcept { panels<Fp4<16>>(job); }

}  // namespace mach::avx512
