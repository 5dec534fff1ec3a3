// Products of matrices in panel order (quant/panel_layout.h) with int8 activations. A line of codes holds, per field, four
// inputs of 16 rows: vpmaddubsw multiplies eight rows' with four activations that a broadcast repeats, which leaves two
// 16-bit sums per row. They are added as such while they cannot overflow, and then vpmaddwd joins the two of a row: nothing
// is ever summed across rows. 8-bit codes, whose pairs could overflow at once, are taken around 128: their magnitude times
// the activation with their sign; the sums begin with what that leaves out.
//
// Operation by operation what the scalar kernel computes for a (row, column): units of inputs in ascending order, each
// y = fma(float(dot), weight scale * activation scale, y), and at the end of a weight group y = fma(bias, sum, y).
#include "kernels/avx2/avx2_kernels.h"
#include "kernels/avx2/unpack.h"
#include "kernels/panel_walk.h"

namespace mach::avx2 {
namespace {

constexpr uint32_t kBlock = 32;  // inputs of a block of lines
constexpr uint32_t kLine = 64;   // bytes
constexpr uint32_t kHalves = 2;  // registers of eight rows
constexpr size_t kAhead = 1024;  // bytes between what is used and what is prefetched
constexpr uint32_t kMostSums =
    3;  // columns x terms of a tile: with two halves 6 integer and 6 float sums of 16 registers

// What distinguishes codecs. kUnit: inputs whose products are summed as integers before scales apply. kSteps: steps of four
// inputs whose 16-bit sums cannot overflow. kOffset: how far above their value codes are, as far as sums see it.
template <uint32_t BitsPerCode>
struct Affine {
  static constexpr uint32_t kBits = BitsPerCode;
  static constexpr uint32_t kUnit = 32;
  static constexpr uint32_t kSteps = BitsPerCode == 8 ? 1 : 8;  // 8 * 2 * 15 * 127 < 2^15
  static constexpr bool kBiased = true;
  static constexpr bool kSigned = BitsPerCode == 8;
  static constexpr int32_t kOffset = BitsPerCode == 8 ? -128 : 0;
  static constexpr float kScale = 1.0F;
  static __m256i codes(__m256i field) noexcept {
    return kSigned ? _mm256_xor_si256(field, _mm256_set1_epi8(-128)) : field;
  }
};

// E2M1 codes as 2 * value + 12 in [0, 24].
template <uint32_t Unit>
struct Fp4 {
  static constexpr uint32_t kBits = 4;
  static constexpr uint32_t kUnit = Unit;
  static constexpr uint32_t kSteps = 4;  // 4 * 2 * 24 * 127 < 2^15
  static constexpr bool kBiased = false;
  static constexpr bool kSigned = false;
  static constexpr int32_t kOffset = 12;
  static constexpr float kScale = 0.5F;
  static __m256i codes(__m256i field) noexcept {
    const __m256i table =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    return _mm256_shuffle_epi8(table, field);
  }
};

// Field `Field` of half a line, as bytes.
template <class Codec, uint32_t Field>
__m256i codes_of(__m256i line) noexcept {
  if constexpr (Codec::kBits == 8) {
    return Codec::codes(line);
  } else {
    const __m256i mask = _mm256_set1_epi8((1 << Codec::kBits) - 1);
    return Codec::codes(
        _mm256_and_si256(Field == 0 ? line : _mm256_srli_epi16(line, Codec::kBits * Field), mask));
  }
}

// Scales of rows [8 half, 8 half + 8) of a group's 16.
[[gnu::always_inline]] inline __m256 load_scales(ScaleType type, const std::byte* group,
                                                 uint32_t half) noexcept {
  switch (type) {
    case ScaleType::kBF16:
      return BF16::load(group + size_t{16} * half);
    case ScaleType::kF16:
      return F16::load(group + size_t{16} * half);
    case ScaleType::kE8M0:
      return widen_e8m0(load8(group + size_t{8} * half));
    case ScaleType::kE4M3:
      return widen_e4m3(load8(group + size_t{8} * half));
    case ScaleType::kF32:
    case ScaleType::kNone:
      break;
  }
  return F32::load(group + size_t{32} * half);
}

inline __m256i repeat4(const int8_t* p) noexcept {
  int32_t four;
  __builtin_memcpy(&four, p, sizeof(four));
  return _mm256_set1_epi32(four);
}

inline __m256 all(float v) noexcept { return _mm256_set1_ps(v); }

struct Column {
  const int8_t* values;
  const int8_t* low;
  const float* scales;
  const float* sums;
  const int32_t* totals;
  float* y;
};

// Integer sums of a unit for C columns: 16-bit ones that wait to be joined, and 32-bit ones.
template <class Codec, uint32_t Terms, uint32_t C>
struct Dots {
  __m256i pairs[Terms][kHalves][C];
  __m256i sums[Terms][kHalves][C];

  void start(const Column (&columns)[C], uint32_t col) noexcept {
#pragma GCC unroll 4
    for (uint32_t c = 0; c < C; ++c) {
      __m256i first = _mm256_setzero_si256();
      if constexpr (Codec::kOffset != 0) {
        const int32_t* totals = columns[c].totals + col / 16;
        first = _mm256_set1_epi32(-Codec::kOffset * (Codec::kUnit == 16 ? totals[0] : totals[0] + totals[1]));
      }
#pragma GCC unroll 2
      for (uint32_t h = 0; h < kHalves; ++h) {
#pragma GCC unroll 2
        for (uint32_t t = 0; t < Terms; ++t) {
          sums[t][h][c] = t + 1 == Terms ? first : _mm256_setzero_si256();
          pairs[t][h][c] = _mm256_setzero_si256();
        }
      }
    }
  }

  void add(uint32_t t, uint32_t h, uint32_t c, __m256i codes, __m256i magnitudes, __m256i x) noexcept {
    const __m256i products = Codec::kSigned ? _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(x, codes))
                                            : _mm256_maddubs_epi16(codes, x);
    pairs[t][h][c] = Codec::kSteps == 1 ? products : _mm256_add_epi16(pairs[t][h][c], products);
  }

  void join() noexcept {
#pragma GCC unroll 4
    for (uint32_t c = 0; c < C; ++c) {
#pragma GCC unroll 2
      for (uint32_t h = 0; h < kHalves; ++h) {
#pragma GCC unroll 2
        for (uint32_t t = 0; t < Terms; ++t) {
          const __m256i fours = _mm256_madd_epi16(pairs[t][h][c], _mm256_set1_epi16(1));
          sums[t][h][c] = _mm256_add_epi32(sums[t][h][c], fours);
          pairs[t][h][c] = _mm256_setzero_si256();
        }
      }
    }
  }
};

// One panel against C columns.
template <class Codec, uint32_t Terms, uint32_t C>
void tile(const kernel::Int8Job& job, const std::byte* panel, uint32_t row,
          const Column (&columns)[C]) noexcept {
  constexpr uint32_t kFields = 8 / Codec::kBits;
  constexpr uint32_t kLines = Codec::kBits;
  constexpr float kScale = Codec::kScale / (Terms == 2 ? 256.0F : 1.0F);
  const WeightFormat& format = job.weight->format;
  const PanelLayout& layout = *job.layout;
  const uint32_t cols = job.weight->cols;
  const uint32_t units_per_group = format.group / Codec::kUnit;
  __m256 y[kHalves][C];
#pragma GCC unroll 2
  for (uint32_t h = 0; h < kHalves; ++h) {
#pragma GCC unroll 4
    for (uint32_t c = 0; c < C; ++c) y[h][c] = _mm256_setzero_ps();
  }
  uint32_t group = 0;     // of the stripe
  uint32_t in_group = 0;  // units
  const uint32_t stripes = stripes_of(layout, cols);
  for (uint32_t s = 0; s < stripes; ++s) {
    const StripeWalk stripe = stripe_of(layout, format.group, cols, s);
    group = 0;
    in_group = 0;
    const std::byte* at = panel + stripe.codes;

    const auto scale_unit = [&](Dots<Codec, Terms, C>& dots, uint32_t col) {
      const std::byte* scales = panel + stripe.scales + size_t{group} * layout.group_bytes;
      const bool ends = ++in_group == units_per_group;
#pragma GCC unroll 2
      for (uint32_t h = 0; h < kHalves; ++h) {
        const __m256 scale = load_scales(format.scale, scales, h);
#pragma GCC unroll 4
        for (uint32_t c = 0; c < C; ++c) {
          __m256 x_scale = all(columns[c].scales[col / kBlock]);
          if constexpr (kScale != 1.0F) x_scale = _mm256_mul_ps(x_scale, all(kScale));
          __m256i dot = dots.sums[0][h][c];
          if constexpr (Terms == 2) dot = _mm256_add_epi32(_mm256_slli_epi32(dot, 8), dots.sums[1][h][c]);
          y[h][c] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_mul_ps(scale, x_scale), y[h][c]);
        }
      }
      if (!ends) return;
      if constexpr (Codec::kBiased) {
        const std::byte* biases = panel + stripe.biases + size_t{group} * layout.group_bytes;
#pragma GCC unroll 2
        for (uint32_t h = 0; h < kHalves; ++h) {
          const __m256 bias = load_scales(format.scale, biases, h);
#pragma GCC unroll 4
          for (uint32_t c = 0; c < C; ++c) {
            y[h][c] = _mm256_fmadd_ps(bias, all(columns[c].sums[stripe.first_group + group]), y[h][c]);
          }
        }
      }
      in_group = 0;
      ++group;
    };
    const auto add_field = [&]<uint32_t Field>(const __m256i(&lines)[kHalves], Dots<Codec, Terms, C>& dots,
                                               uint32_t first) {
      __m256i codes[kHalves];
      __m256i magnitudes[kHalves];
#pragma GCC unroll 2
      for (uint32_t h = 0; h < kHalves; ++h) {
        codes[h] = codes_of<Codec, Field>(lines[h]);
        magnitudes[h] = Codec::kSigned ? _mm256_abs_epi8(codes[h]) : codes[h];
      }
#pragma GCC unroll 4
      for (uint32_t c = 0; c < C; ++c) {
#pragma GCC unroll 2
        for (uint32_t t = 0; t < Terms; ++t) {
          const __m256i x = repeat4((t == 0 ? columns[c].values : columns[c].low) + first);
#pragma GCC unroll 2
          for (uint32_t h = 0; h < kHalves; ++h) dots.add(t, h, c, codes[h], magnitudes[h], x);
        }
      }
    };

    const uint32_t padded = (stripe.cols + kBlock - 1) / kBlock * kBlock;
    for (uint32_t in_stripe = 0; in_stripe < padded; in_stripe += kBlock) {
      const uint32_t col = stripe.first_col + in_stripe;
      if constexpr (Codec::kUnit == 16) {  // a field is a unit
        const auto unit = [&]<uint32_t Field>() {
          Dots<Codec, Terms, C> dots;
          dots.start(columns, col + 16 * Field);
#pragma GCC unroll 8
          for (uint32_t j = 0; j < kLines; ++j) {
            const __m256i lines[kHalves] = {load32(at + size_t{kLine} * j),
                                            load32(at + size_t{kLine} * j + kLine / 2)};
            add_field.template operator()<Field>(lines, dots, col + 16 * Field + 4 * j);
          }
          dots.join();
          scale_unit(dots, col + 16 * Field);
        };
        unit.template operator()<0>();
        if (in_stripe + 16 < stripe.cols) unit.template operator()<1>();
      } else {
        Dots<Codec, Terms, C> dots;
        dots.start(columns, col);
#pragma GCC unroll 8
        for (uint32_t j = 0; j < kLines; ++j) {
          _mm_prefetch(at + size_t{kLine} * j + kAhead, _MM_HINT_T0);
          const __m256i lines[kHalves] = {load32(at + size_t{kLine} * j),
                                          load32(at + size_t{kLine} * j + kLine / 2)};
          const uint32_t first = col + 4 * j;
          add_field.template operator()<0>(lines, dots, first);
          if constexpr (kFields >= 2) add_field.template operator()<1>(lines, dots, first + 4 * kLines);
          if constexpr (kFields == 4) {
            add_field.template operator()<2>(lines, dots, first + 8 * kLines);
            add_field.template operator()<3>(lines, dots, first + 12 * kLines);
          }
          if ((j + 1) * kFields % Codec::kSteps == 0) dots.join();
        }
        scale_unit(dots, col);
      }
      at += size_t{kLine} * kLines;
    }
  }
#pragma GCC unroll 2
  for (uint32_t h = 0; h < kHalves; ++h) {
    const uint32_t first = row + 8 * h;
    if (first >= job.row_end) break;
    const uint32_t count = job.row_end - first < 8 ? job.row_end - first : 8;
#pragma GCC unroll 4
    for (uint32_t c = 0; c < C; ++c) {
      store_part(columns[c].y + first, count, _mm256_mul_ps(y[h][c], all(job.weight->global_scale)));
    }
  }
}

template <class Codec, uint32_t Terms, uint32_t C>
void columns_tile(const kernel::Int8Job& job, const std::byte* panel, uint32_t row, uint32_t first) noexcept {
  Column columns[C];
  for (uint32_t i = 0; i < C; ++i) {
    const size_t c = job.columns == nullptr ? first + i : job.columns[first + i];
    columns[i] = {
        job.x.values + c * job.x.value_stride, Terms == 2 ? job.x.low + c * job.x.value_stride : nullptr,
        job.x.scales + c * job.x.scale_stride, job.x.sums + c * job.x.sum_stride,
        job.x.totals + c * job.x.total_stride, job.y + (first + i) * job.y_stride};
  }
  tile<Codec, Terms, C>(job, panel, row, columns);
}

template <class Codec, uint32_t Terms>
void all_panels(const kernel::Int8Job& job) noexcept {
  constexpr uint32_t kMost = kMostSums / Terms;
  for (uint32_t row = job.row_begin; row < job.row_end; row += kPanelRows) {
    const std::byte* panel = job.weight->codes.data + size_t{row} / kPanelRows * job.layout->panel_bytes;
    uint32_t tiles = (job.column_count + kMost - 1) / kMost;
    for (uint32_t first = 0; first < job.column_count; --tiles) {
      const uint32_t width = (job.column_count - first + tiles - 1) / tiles;
      if (width == 1) {
        columns_tile<Codec, Terms, 1>(job, panel, row, first);
      } else if constexpr (kMost >= 2) {
        if (width == 2) columns_tile<Codec, Terms, 2>(job, panel, row, first);
        if (width == 3) columns_tile<Codec, Terms, 3>(job, panel, row, first);
      }
      first += width;
    }
  }
}

template <class Codec>
void panels(const kernel::Int8Job& job) noexcept {
  if (job.x.low == nullptr) return all_panels<Codec, 1>(job);
  all_panels<Codec, 2>(job);
}

}  // namespace

void panels_affine2(const kernel::Int8Job& job) noexcept { panels<Affine<2>>(job); }
void panels_affine4(const kernel::Int8Job& job) noexcept { panels<Affine<4>>(job); }
void panels_affine8(const kernel::Int8Job& job) noexcept { panels<Affine<8>>(job); }
void panels_mxfp4(const kernel::Int8Job& job) noexcept { panels<Fp4<32>>(job); }
void panels_nvfp4(const kernel::Int8Job& job) noexcept { panels<Fp4<16>>(job); }

}  // namespace mach::avx2
