// Products of matrices in panel order (quant/panel_layout.h) with int8 activations. A line of codes holds, per field, four
// inputs of 16 rows: vpdpbusd multiplies it with four activations that a broadcast load repeats for every row, so lane r
// collects row r and nothing is ever summed across lanes. Codes are unpacked in registers, beside the dot products.
//
// One column is limited by memory, if nothing waits: a tile takes four panels, so that a broadcast serves four lines and the
// short chains of integer sums of one unit of inputs overlap with the next; panels are prefetched side by side. More columns
// take two panels at a time, which stay in the nearest cache while all columns pass over them in tiles of up to six.
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

constexpr uint32_t kBlock = 32;      // inputs of a block of lines
constexpr uint32_t kMostPanels = 4;  // of a tile
constexpr uint32_t kMostSums = 6;  // columns x terms of a tile: with two panels 12 integer and 12 float sums
constexpr size_t kAhead = 2560;    // bytes of a panel between what is used and what is prefetched

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
template <uint32_t BitsPerCode>
struct Affine {
  static constexpr uint32_t kBits = BitsPerCode;
  static constexpr uint32_t kUnit = 32;
  static constexpr bool kBiased = true;
  static constexpr bool kShiftless = kBits == 4;             // the codes are the values
  static constexpr ScaleType kScaleType = ScaleType::kNone;  // any of the floats
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
  static constexpr bool kShiftless = false;
  static constexpr ScaleType kScaleType = Unit == 16 ? ScaleType::kE4M3 : ScaleType::kE8M0;
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
template <class Codec>
[[gnu::always_inline]] inline __m512 load_scales(ScaleType type, const std::byte* p) noexcept {
  if constexpr (Codec::kScaleType != ScaleType::kNone) {
    return Codec::kScaleType == ScaleType::kE8M0 ? widen_e8m0(load16(p)) : widen_e4m3(load16(p));
  } else {
    if (type == ScaleType::kBF16) return BF16::load(p);
    if (type == ScaleType::kF16) return F16::load(p);
    return F32::load(p);
  }
}

struct Column {
  const int8_t* values;
  const int8_t* low;
  const float* scales;
  const float* sums;
  const int32_t* totals;
  float* y;
};

// The sums of one unit, as integers: Terms x [R][C]. Where registers allow, each field of 4-bit codes has sums of its own: the
// dot products of a unit then form several short chains, and the upper codes need no shift, since sums of 16 * code are
// exact too.
template <class Codec, uint32_t Terms, uint32_t R, uint32_t C>
struct Dots {
  static constexpr bool kSplit = Codec::kShiftless && R * C * Terms <= 4;
  static constexpr bool kTwoChains = !kSplit && Codec::kBits != 4 && R * C * Terms <= 4;
  static constexpr uint32_t kChains = kSplit || kTwoChains ? 2 : 1;
  __m512i sums[kChains][Terms][R][C];

  // totals: of the unit's activations, per column.
  [[gnu::always_inline]] void start(const int32_t (&totals)[C]) noexcept {
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) {
      const __m512i first = Codec::start(totals[c]);
#pragma GCC unroll 8
      for (uint32_t r = 0; r < R; ++r) {
#pragma GCC unroll 2
        for (uint32_t t = 0; t < Terms; ++t) {
          sums[0][t][r][c] = t + 1 == Terms ? first : _mm512_setzero_si512();
          if constexpr (kChains == 2) sums[1][t][r][c] = _mm512_setzero_si512();
        }
      }
    }
  }

  // Field `Field` of a line of every panel times the activations of its four inputs, which begin at `first`.
  template <uint32_t Field>
  [[gnu::always_inline]] void add(const __m512i (&lines)[R], const Column (&columns)[C], uint32_t first,
                                  uint32_t line) noexcept {
    const uint32_t chain = kSplit ? Field : kTwoChains ? (line + Field) % 2 : 0;
    __m512i codes[R];
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) {
      if constexpr (kSplit) {
        codes[r] = _mm512_and_si512(lines[r], _mm512_set1_epi8(static_cast<char>(Field == 0 ? 0x0f : 0xf0)));
      } else {
        codes[r] = Codec::template codes<Field>(lines[r]);
      }
    }
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) {
      const __m512i x = repeat4(columns[c].values + first);
#pragma GCC unroll 8
      for (uint32_t r = 0; r < R; ++r)
        sums[chain][0][r][c] = _mm512_dpbusd_epi32(sums[chain][0][r][c], codes[r], x);
      if constexpr (Terms == 2) {
        const __m512i low = repeat4(columns[c].low + first);
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; ++r)
          sums[chain][1][r][c] = _mm512_dpbusd_epi32(sums[chain][1][r][c], codes[r], low);
      }
    }
  }

  // 256 * high + low, or the only term.
  [[gnu::always_inline]] __m512i total(uint32_t r, uint32_t c) const noexcept {
    const auto term = [&](uint32_t t) {
      if constexpr (kSplit) {
        return _mm512_add_epi32(sums[0][t][r][c], _mm512_srai_epi32(sums[1][t][r][c], 4));
      } else if constexpr (kTwoChains) {
        return _mm512_add_epi32(sums[0][t][r][c], sums[1][t][r][c]);
      } else {
        return sums[0][t][r][c];
      }
    };
    if constexpr (Terms == 2) return _mm512_add_epi32(_mm512_slli_epi32(term(0), 8), term(1));
    return term(0);
  }
};

// R panels against C columns.
template <class Codec, uint32_t Terms, uint32_t R, uint32_t C>
void tile(const kernel::Int8Job& job, const std::byte* panels, uint32_t row,
          const Column (&columns)[C]) noexcept {
  constexpr uint32_t kFields = 8 / Codec::kBits;
  constexpr uint32_t kLines = Codec::kBits;
  constexpr float kScale = Codec::kScale / (Terms == 2 ? 256.0F : 1.0F);
  using UnitDots = Dots<Codec, Terms, R, C>;
  __m512 y[R][C];
#pragma GCC unroll 8
  for (uint32_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) y[r][c] = _mm512_setzero_ps();
  }
  const WeightFormat& format = job.weight->format;
  const PanelLayout& layout = *job.layout;
  const ScaleType scale_type = format.scale;
  const size_t panel_bytes = layout.panel_bytes;
  const uint32_t group_bytes = layout.group_bytes;
  const uint32_t group_cols = format.group;

  const auto load_group = [&](const std::byte* at, __m512(&scale)[R]) {
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) scale[r] = load_scales<Codec>(scale_type, at + r * panel_bytes);
  };
  const auto scale_unit = [&](const UnitDots& dots, uint32_t col, const __m512(&scale)[R]) {
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) {
      __m512 x_scale = all(columns[c].scales[col / kBlock]);
      if constexpr (kScale != 1.0F) x_scale = _mm512_mul_ps(x_scale, all(kScale));
#pragma GCC unroll 8
      for (uint32_t r = 0; r < R; ++r) {
        y[r][c] =
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots.total(r, c)), _mm512_mul_ps(scale[r], x_scale), y[r][c]);
      }
    }
  };
  // Every line is asked for kAhead bytes before its use; behind the end of these panels that is the beginning of the next R.
  const std::byte* ahead = panels + kAhead;
  const std::byte* const last = panels + panel_bytes;
  const auto prefetch_line = [&](size_t line) {
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) _mm_prefetch(ahead + line * kPanelLine + r * panel_bytes, _MM_HINT_T0);
  };
  const auto move_ahead = [&](size_t bytes) {
    const std::byte* const from = ahead;
    ahead += bytes;
    if (from < last && ahead >= last) ahead += (R - 1) * panel_bytes;
  };
  const auto load_line = [&](const std::byte* at, size_t line, __m512i(&lines)[R]) {
    prefetch_line(line);
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) lines[r] = _mm512_load_si512(at + line * kPanelLine + r * panel_bytes);
  };
  // The totals of the 32 inputs from `col` on, or of its first or second half.
  const auto totals_of = [&](uint32_t col, bool first, bool second, int32_t(&totals)[C]) {
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) {
      const int32_t* of_halves = columns[c].totals + col / 16;
      totals[c] = (first ? of_halves[0] : 0) + (second ? of_halves[1] : 0);
    }
  };

  const uint32_t stripes = stripes_of(layout, job.weight->cols);
  for (uint32_t s = 0; s < stripes; ++s) {
    const StripeWalk stripe = stripe_of(layout, group_cols, job.weight->cols, s);
    const std::byte* codes = panels + stripe.codes;
    const std::byte* scales = panels + stripe.scales;
    const std::byte* biases = panels + stripe.biases;
    const uint32_t end = stripe.first_col + stripe.cols;
    for (size_t header = stripe.scales; header < stripe.codes; header += kPanelLine) {
      prefetch_line(0);
      move_ahead(kPanelLine);
    }
    if constexpr (Codec::kUnit == 16) {  // a field is a unit, and a unit a group
      for (uint32_t col = stripe.first_col; col < end; col += kBlock, scales += 2 * size_t{group_bytes}) {
        UnitDots low;
        UnitDots high;
        int32_t totals[C];
        totals_of(col, true, false, totals);
        low.start(totals);
        totals_of(col, false, true, totals);
        high.start(totals);
#pragma GCC unroll 4
        for (uint32_t j = 0; j < kLines; ++j) {
          __m512i lines[R];
          load_line(codes, j, lines);
          low.template add<0>(lines, columns, col + 4 * j, j);
          high.template add<1>(lines, columns, col + 16 + 4 * j, j);
        }
        codes += kLines * kPanelLine;
        move_ahead(kLines * kPanelLine);
        __m512 scale[R];
        load_group(scales, scale);
        scale_unit(low, col, scale);
        if (col + 16 < end) {
          load_group(scales + group_bytes, scale);
          scale_unit(high, col + 16, scale);
        }
      }
    } else {
      uint32_t group = stripe.first_group;
      for (uint32_t col = stripe.first_col; col < end;
           scales += group_bytes, biases += group_bytes, ++group) {
        __m512 scale[R];
        load_group(scales, scale);
        for (const uint32_t group_end = col + group_cols; col < group_end; col += kBlock) {
          UnitDots dots;
          int32_t totals[C];
          totals_of(col, true, true, totals);
          dots.start(totals);
#pragma GCC unroll 8
          for (uint32_t j = 0; j < kLines; ++j) {
            __m512i lines[R];
            load_line(codes, j, lines);
            const uint32_t first = col + 4 * j;
            dots.template add<0>(lines, columns, first, j);
            if constexpr (kFields >= 2) dots.template add<1>(lines, columns, first + 4 * kLines, j);
            if constexpr (kFields == 4) {
              dots.template add<2>(lines, columns, first + 8 * kLines, j);
              dots.template add<3>(lines, columns, first + 12 * kLines, j);
            }
          }
          codes += kLines * kPanelLine;
          move_ahead(kLines * kPanelLine);
          scale_unit(dots, col, scale);
        }
        if constexpr (Codec::kBiased) {
          __m512 bias[R];
          load_group(biases, bias);
#pragma GCC unroll 8
          for (uint32_t c = 0; c < C; ++c) {
            const __m512 sum = all(columns[c].sums[group]);
#pragma GCC unroll 8
            for (uint32_t r = 0; r < R; ++r) y[r][c] = _mm512_fmadd_ps(bias[r], sum, y[r][c]);
          }
        }
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
    columns[i] = {job.x.values + c * job.x.value_stride,
                  job.x.low == nullptr ? nullptr : job.x.low + c * job.x.value_stride,
                  job.x.scales + c * job.x.scale_stride,
                  job.x.sums + c * job.x.sum_stride,
                  job.x.totals + c * job.x.total_stride,
                  job.y + (first + i) * job.y_stride};
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

// The lines of the first tile that no earlier tile has asked for, all at once.
void prefetch_first(const kernel::Int8Job& job, const std::byte* panels) noexcept {
  const uint32_t count = (job.row_end - job.row_begin + kPanelRows - 1) / kPanelRows;
  for (uint32_t r = 0; r < (count < kMostPanels ? count : kMostPanels); ++r) {
    for (size_t line = 0; line < kAhead; line += kPanelLine)
      _mm_prefetch(panels + r * job.layout->panel_bytes + line, _MM_HINT_T0);
  }
}

template <class Codec, uint32_t Terms>
void all_panels(const kernel::Int8Job& job) noexcept {
  const auto at = [&](uint32_t row) {
    return job.weight->codes.data + row / kPanelRows * job.layout->panel_bytes;
  };
  uint32_t row = job.row_begin;
  prefetch_first(job, at(row));
  if (job.column_count == 1) {
    for (; row + 3 * kPanelRows < job.row_end; row += 4 * kPanelRows) {
      columns_tile<Codec, Terms, 4, 1>(job, at(row), row, 0);
    }
  }
  for (; row + kPanelRows < job.row_end; row += 2 * kPanelRows) {
    all_columns<Codec, Terms, 2>(job, at(row), row);
  }
  for (; row < job.row_end; row += kPanelRows) all_columns<Codec, Terms, 1>(job, at(row), row);
}

template <class Codec>
void panels(const kernel::Int8Job& job) noexcept {
  if (job.x.low == nullptr) return all_panels<Codec, 1>(job);
  all_panels<Codec, 2>(job);
}

// From here on unpacking a block first is worth it (panel_gemm.cpp).
constexpr uint32_t kMostFewColumns = 16;
constexpr uint32_t kMostGemmStripe = 512;

bool few(const kernel::Int8Job& job) noexcept {
  return job.column_count <= kMostFewColumns || job.layout->stripe_cols > kMostGemmStripe;
}

}  // namespace

void panels_affine2(const kernel::Int8Job& job) noexcept {
  few(job) ? panels<Affine<2>>(job) : gemm_affine2(job);
}
void panels_affine4(const kernel::Int8Job& job) noexcept {
  few(job) ? panels<Affine<4>>(job) : gemm_affine4(job);
}
void panels_affine8(const kernel::Int8Job& job) noexcept {
  few(job) ? panels<Affine<8>>(job) : gemm_affine8(job);
}
void panels_mxfp4(const kernel::Int8Job& job) noexcept { few(job) ? panels<Fp4<32>>(job) : gemm_mxfp4(job); }
void panels_nvfp4(const kernel::Int8Job& job) noexcept { few(job) ? panels<Fp4<16>>(job) : gemm_nvfp4(job); }

}  // namespace mach::avx512
