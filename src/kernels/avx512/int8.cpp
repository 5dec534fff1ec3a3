// Products of integer codes with int8 activations. Codes become 64 unsigned bytes in element order (two groups of 32);
// vpdpbusd multiplies them with 64 signed activations and adds fours: sixteen exact integer sums, eight per group, which are
// converted, scaled by (weight scale * activation scale) of their group and added to sixteen fp32 lanes. The sums of the
// lanes, of the bias terms and the matrix scale come last. FP4 codes are doubled and shifted: 2 E2M1 + 12 in [0, 24], which
// makes them affine with scale s / 2 and bias -6 s.
//
// Every (row, column) result has the same order of operations in every tile shape.
#include "kernels/avx512/avx512_kernels.h"
#include "kernels/avx512/unpack.h"

namespace mach::avx512 {
namespace {

constexpr uint32_t kGroup = 32;
constexpr uint32_t kStep = 64;  // codes per register

// out[k] = in[k / repeat] for `count` inputs; in and out are whole registers long.
void repeat_scales(const float* in, uint32_t count, uint32_t repeat, float* out) noexcept {
  const __m512i pattern = repeat == 2 ? _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7)
                                      : _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  const auto next = static_cast<int32_t>(16 / repeat);
  for (uint32_t i = 0; i < count; i += 16) {
    const __m512 v = _mm512_load_ps(in + i);
    __m512i index = pattern;
    for (uint32_t k = 0; k < repeat && i * repeat + 16 * k < count * repeat; ++k) {
      _mm512_store_ps(out + size_t{i} * repeat + size_t{16} * k, _mm512_permutexvar_ps(index, v));
      index = _mm512_add_epi32(index, _mm512_set1_epi32(next));
    }
  }
}

// What distinguishes the codecs: how codes become bytes, and scales[] (one per 32 codes, two with kHalves) and biases[] (one
// per sum group) of a row.
template <uint32_t Bits>
struct Affine {
  static constexpr uint32_t kBytes = 4 * Bits;
  static constexpr bool kHalves = false;

  static __m512i codes(const std::byte* p, const std::byte* upper) noexcept { return unpack<Bits>(p, upper); }

  static void scales(const WeightMatrix& weight, uint32_t row, float* factors, float* biases) noexcept {
    const uint32_t groups = weight.cols / weight.format.group;
    const std::byte* scale_row = row_of(weight.scales, row);
    if (weight.format.group == kGroup) {
      widen_scales(weight.format.scale, scale_row, groups, factors);
    } else {
      widen_scales(weight.format.scale, scale_row, groups, biases);
      repeat_scales(biases, groups, weight.format.group / kGroup, factors);
    }
    widen_scales(weight.format.scale, row_of(weight.biases, row), groups, biases);
  }
};

template <uint32_t Group>
struct Fp4 {
  static constexpr uint32_t kBytes = 16;
  static constexpr bool kHalves = Group == 16;

  static __m512i codes(const std::byte* p, const std::byte* upper) noexcept {
    return shifted(unpack<4>(p, upper));
  }

  // 16 codes; the rest is of no consequence, since the activations there are zero.
  static __m512i half_codes(const std::byte* p) noexcept {
    const __m128i v = _mm_cvtepu8_epi16(load8(p));
    const __m128i nibbles = _mm_and_si128(_mm_or_si128(v, _mm_slli_epi16(v, 4)), _mm_set1_epi8(15));
    return shifted(_mm512_zextsi128_si512(nibbles));
  }

  static void scales(const WeightMatrix& weight, uint32_t row, float* factors, float* biases) noexcept {
    const uint32_t groups = weight.cols / Group;
    widen_scales(weight.format.scale, row_of(weight.scales, row), groups, biases);
    for (uint32_t g = 0; g < groups; g += 16) {
      const __m512 s = _mm512_load_ps(biases + g);
      _mm512_store_ps(factors + g, _mm512_mul_ps(s, all(0.5F)));
      _mm512_store_ps(biases + g, _mm512_mul_ps(s, all(-6.0F)));
    }
  }

 private:
  static __m512i shifted(__m512i nibbles) noexcept {
    const __m512i table =
        _mm512_broadcast_i32x4(_mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    return _mm512_shuffle_epi8(table, nibbles);
  }
};

// Codes straight from the weight rows. `step` counts registers; the last may hold one group only.
template <class Codec>
struct PackedRows {
  const std::byte* data;
  uint64_t stride;
  __m512i load(uint32_t row, uint32_t step, bool whole) const noexcept {
    const std::byte* p = data + row * stride + size_t{step} * 2 * Codec::kBytes;
    return Codec::codes(p, whole ? p + Codec::kBytes : nullptr);
  }
};

// Codes unpacked to bytes before.
struct ByteRows {
  const std::byte* data;
  uint64_t stride;
  __m512i load(uint32_t row, uint32_t step, bool) const noexcept {
    return _mm512_load_si512(data + row * stride + size_t{step} * kStep);
  }
};

// The factors of the two groups of a step, eight lanes each (four of each half with kHalves).
template <bool Halves>
__m512 row_factors(const float* factors, uint32_t step) noexcept {
  if constexpr (Halves) {
    const __m128 four = _mm_loadu_ps(factors + size_t{4} * step);
    const __m512i index = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_ps(index, _mm512_castps128_ps512(four));
  } else {
    const __m512 first = _mm512_set1_ps(factors[size_t{2} * step]);
    return _mm512_mask_broadcastss_ps(first, 0xff00, _mm_load_ss(factors + size_t{2} * step + 1));
  }
}

float bias_sum(const float* biases, const float* sums, uint32_t n) noexcept {
  __m512 lanes = _mm512_setzero_ps();
  for (uint32_t i = 0; i < n; i += 16) {
    lanes = _mm512_fmadd_ps(_mm512_load_ps(biases + i), load_part(sums + i, first_lanes(n - i)), lanes);
  }
  return sum_lanes(lanes);
}

struct Column {
  const int8_t* values;
  const float* scales;
  const float* sums;
  float* y;  // of the job's row 0
};

Column column_of(const kernel::Int8Job& job, uint32_t i) noexcept {
  const size_t c = job.columns == nullptr ? i : job.columns[i];
  return {job.x.values + c * job.x.value_stride, job.x.scales + c * job.x.scale_stride,
          job.x.sums + c * job.x.sum_stride, job.y + i * job.y_stride};
}

// The rows' scales in scratch, at a fixed distance.
struct Scales {
  float* factors;
  float* biases;
  size_t stride;
};

// R rows from first on (row 0 of `codes` and `scales` is row `row` of the matrix) against C columns.
template <class Codec, uint32_t R, uint32_t C, class Codes>
void tile(const kernel::Int8Job& job, uint32_t row, const Codes& codes, uint32_t first, const Scales& scales,
          const Column (&columns)[C]) noexcept {
  const uint32_t groups = (job.weight->cols + kGroup - 1) / kGroup;
  __m512 sums[R][C];
#pragma GCC unroll 8
  for (uint32_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) sums[r][c] = _mm512_setzero_ps();
  }
  const auto step = [&](uint32_t s, bool whole) {
    __m512i code[R];
    __m512 factor[R];
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) {
      code[r] = codes.load(first + r, s, whole);
      factor[r] = row_factors<Codec::kHalves>(scales.factors + (first + r) * scales.stride, s);
    }
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) {
      const __m512i x = _mm512_loadu_si512(columns[c].values + size_t{kStep} * s);
      const __m512 x_factor = row_factors<false>(columns[c].scales, s);
#pragma GCC unroll 8
      for (uint32_t r = 0; r < R; ++r) {
        const __m512i products = _mm512_dpbusd_epi32(_mm512_setzero_si512(), code[r], x);
        sums[r][c] =
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), _mm512_mul_ps(factor[r], x_factor), sums[r][c]);
      }
    }
  };
  uint32_t s = 0;
  for (; s < groups / 2; ++s) step(s, true);
  if (groups % 2 != 0) step(s, false);

  const uint32_t bias_groups = job.weight->cols / job.weight->format.group;
#pragma GCC unroll 8
  for (uint32_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) {
      const float bias = bias_sum(scales.biases + (first + r) * scales.stride, columns[c].sums, bias_groups);
      columns[c].y[row + first + r] = (sum_lanes(sums[r][c]) + bias) * job.weight->global_scale;
    }
  }
}

// `count` rows from `row` on against the columns [first_column, first_column + C).
template <class Codec, uint32_t R, uint32_t C, class Codes>
void strip(const kernel::Int8Job& job, uint32_t row, uint32_t count, const Codes& codes, const Scales& scales,
           uint32_t first_column) noexcept {
  Column columns[C];
  for (uint32_t c = 0; c < C; ++c) columns[c] = column_of(job, first_column + c);
  uint32_t r = 0;
  for (; r + R <= count; r += R) tile<Codec, R, C>(job, row, codes, r, scales, columns);
  for (; r < count; ++r) tile<Codec, 1, C>(job, row, codes, r, scales, columns);
}

template <class Codec>
void unpack_row(const kernel::Int8Job& job, uint32_t row, std::byte* out) noexcept {
  const uint32_t cols = job.weight->cols;
  const std::byte* in = row_of(job.weight->codes, row);
  const uint32_t groups = cols / kGroup;
  uint32_t g = 0;
  for (; g + 2 <= groups; g += 2) {
    const std::byte* p = in + size_t{g} * Codec::kBytes;
    _mm512_store_si512(out + size_t{g} * kGroup, Codec::codes(p, p + Codec::kBytes));
  }
  if (g < groups) {
    _mm512_store_si512(out + size_t{g} * kGroup, Codec::codes(in + size_t{g} * Codec::kBytes, nullptr));
  }
  if constexpr (Codec::kHalves) {
    if (cols % kGroup !=
        0) {  // half a group: 16 codes, in the upper half of a step where the number of groups is odd
      const __m512i half = Codec::half_codes(in + size_t{groups} * Codec::kBytes);
      _mm256_store_si256(reinterpret_cast<__m256i*>(out + size_t{groups} * kGroup),
                         _mm512_castsi512_si256(half));
    }
  }
}

// Rows in tiles of kInt8RowTile. One column reads the codes as they are; several share codes unpacked to bytes. Scratch:
// the bytes of a tile, then its factors, then its biases. What lies beyond a row's end in it is zero or meets zeros of x.
template <class Codec>
void int8_rows(const kernel::Int8Job& job) noexcept {
  constexpr uint32_t kTile = kernel::kInt8RowTile;
  const WeightMatrix& weight = *job.weight;
  const size_t padded = (size_t{weight.cols} + 511) / 512 * 512;
  const size_t scale_stride = padded / 16;
  auto* factors = reinterpret_cast<float*>(job.scratch + kTile * padded);
  const Scales scales{factors, factors + kTile * scale_stride, scale_stride};
  for (size_t i = 0; i < 2 * kTile * scale_stride; i += 16) _mm512_store_ps(factors + i, _mm512_setzero_ps());

  for (uint32_t row = job.row_begin; row < job.row_end; row += kTile) {
    const uint32_t count = smaller(kTile, job.row_end - row);
    for (uint32_t r = 0; r < count; ++r) {
      Codec::scales(weight, row + r, scales.factors + r * scale_stride, scales.biases + r * scale_stride);
    }
    if (job.column_count == 1 && weight.cols % kGroup == 0) {
      const PackedRows<Codec> codes{row_of(weight.codes, row), weight.codes.row_stride};
      strip<Codec, 4, 1>(job, row, count, codes, scales, 0);
      continue;
    }
    for (uint32_t r = 0; r < count; ++r) unpack_row<Codec>(job, row + r, job.scratch + r * padded);
    const ByteRows codes{job.scratch, padded};
    uint32_t c = 0;
    for (; c + 4 <= job.column_count; c += 4) strip<Codec, 4, 4>(job, row, count, codes, scales, c);
    for (; c + 2 <= job.column_count; c += 2) strip<Codec, 4, 2>(job, row, count, codes, scales, c);
    for (; c < job.column_count; ++c) strip<Codec, 4, 1>(job, row, count, codes, scales, c);
  }
}

}  // namespace

void int8_affine2(const kernel::Int8Job& job) noexcept { int8_rows<Affine<2>>(job); }
void int8_affine3(const kernel::Int8Job& job) noexcept { int8_rows<Affine<3>>(job); }
void int8_affine4(const kernel::Int8Job& job) noexcept { int8_rows<Affine<4>>(job); }
void int8_affine5(const kernel::Int8Job& job) noexcept { int8_rows<Affine<5>>(job); }
void int8_affine6(const kernel::Int8Job& job) noexcept { int8_rows<Affine<6>>(job); }
void int8_affine8(const kernel::Int8Job& job) noexcept { int8_rows<Affine<8>>(job); }
void int8_mxfp4(const kernel::Int8Job& job) noexcept { int8_rows<Fp4<32>>(job); }
void int8_nvfp4(const kernel::Int8Job& job) noexcept { int8_rows<Fp4<16>>(job); }

}  // namespace mach::avx512
