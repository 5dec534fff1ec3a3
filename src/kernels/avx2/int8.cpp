// Products of integer codes with int8 activations. Codes become 32 unsigned bytes in element order; vpmaddubsw multiplies
// them with 32 signed activations and adds pairs, vpmaddwd adds pairs of those: eight exact integer sums of four, which
// are converted, scaled by (weight scale * activation scale) and added to eight fp32 lanes, group after group. The sums of
// the lanes, of the bias terms and the matrix scale come last.
//
// Pairs must not pass 32767: codes up to 7 bits cannot (2 * 127 * 127). 8-bit codes are taken as signed around 128, their
// magnitude (up to 128) times the activation with the code's sign. FP4 codes are doubled and shifted: 2 E2M1 + 12 in
// [0, 24], which makes them affine with scale s / 2 and bias -6 s.
//
// Every (row, column) result has the same order of operations in every tile shape.
#include "kernels/avx2/avx2_kernels.h"
#include "kernels/avx2/unpack.h"

namespace mach::avx2 {
namespace {

constexpr uint32_t kGroup = 32;
constexpr uint32_t kBlock = 16;  // groups whose factors are computed together

// A row's scales: `factors` one per 32 codes (two with kHalves), `biases` one per sum group; zeros after the last.
struct RowScales {
  const float* factors;
  const float* biases;
};

// out[k] = in[k / repeat] for `count` inputs; in and out are whole registers long.
void repeat_scales(const float* in, uint32_t count, uint32_t repeat, float* out) noexcept {
  const __m256i pattern =
      repeat == 2 ? _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3) : _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const auto next = static_cast<int32_t>(8 / repeat);
  for (uint32_t i = 0; i < count; i += 8) {
    const __m256 v = _mm256_load_ps(in + i);
    __m256i index = pattern;
    for (uint32_t k = 0; k < repeat; ++k) {
      _mm256_store_ps(out + size_t{i} * repeat + size_t{8} * k, _mm256_permutevar8x32_ps(v, index));
      index = _mm256_add_epi32(index, _mm256_set1_epi32(next));
    }
  }
}

template <uint32_t Bits>
struct Affine {
  static constexpr uint32_t kBytes = 4 * Bits;
  static constexpr bool kSigned = Bits == 8;
  static constexpr bool kHalves = false;

  static __m256i codes(const std::byte* p) noexcept {
    if constexpr (kSigned) {
      return _mm256_xor_si256(unpack<Bits>(p), _mm256_set1_epi8(-128));
    } else {
      return unpack<Bits>(p);
    }
  }

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
    if constexpr (kSigned) {
      const uint32_t repeat = weight.format.group / kGroup;
      for (uint32_t g = 0; g < groups; ++g) biases[g] += 128.0F * factors[size_t{g} * repeat];
    }
  }
};

template <uint32_t Group>
struct Fp4 {
  static constexpr uint32_t kBytes = 16;
  static constexpr bool kSigned = false;
  static constexpr bool kHalves = Group == 16;

  static __m256i codes(const std::byte* p) noexcept { return shifted(unpack<4>(p)); }

  // 16 codes; the upper half is of no consequence, since the activations there are zero.
  static __m256i half_codes(const std::byte* p) noexcept {
    return shifted(_mm256_castsi128_si256(unpack_nibbles16(p)));
  }

  static void scales(const WeightMatrix& weight, uint32_t row, float* factors, float* biases) noexcept {
    const uint32_t groups = weight.cols / Group;
    widen_scales(weight.format.scale, row_of(weight.scales, row), groups, biases);
    for (uint32_t g = 0; g < groups; g += 8) {
      const __m256 s = _mm256_load_ps(biases + g);
      _mm256_store_ps(factors + g, _mm256_mul_ps(s, _mm256_set1_ps(0.5F)));
      _mm256_store_ps(biases + g, _mm256_mul_ps(s, _mm256_set1_ps(-6.0F)));
    }
  }

 private:
  static __m256i shifted(__m256i nibbles) noexcept {
    const __m256i table =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    return _mm256_shuffle_epi8(table, nibbles);
  }
};

// Codes straight from the weight rows.
template <class Codec>
struct PackedRows {
  const std::byte* data;
  uint64_t stride;
  __m256i load(uint32_t row, uint32_t group) const noexcept {
    return Codec::codes(data + row * stride + size_t{group} * Codec::kBytes);
  }
};

// Codes unpacked to bytes before.
struct ByteRows {
  const std::byte* data;
  uint64_t stride;
  __m256i load(uint32_t row, uint32_t group) const noexcept {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(data + row * stride + size_t{group} * kGroup));
  }
};

// factors[...] of kBlock groups for one row and column.
template <bool Halves>
void multiply_factors(const float* row, const float* column, float* out) noexcept {
#pragma GCC unroll 8
  for (uint32_t k = 0; k < kBlock; k += 8) {
    const __m256 x = _mm256_loadu_ps(column + k);
    if constexpr (Halves) {
      const __m256 low = _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
      const __m256 high = _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7));
      _mm256_store_ps(out + size_t{2} * k, _mm256_mul_ps(_mm256_load_ps(row + size_t{2} * k), low));
      _mm256_store_ps(out + size_t{2} * k + 8, _mm256_mul_ps(_mm256_load_ps(row + size_t{2} * k + 8), high));
    } else {
      _mm256_store_ps(out + k, _mm256_mul_ps(_mm256_load_ps(row + k), x));
    }
  }
}

template <bool Halves>
__m256 factor_lanes(const float* factors, uint32_t group) noexcept {
  if constexpr (Halves) {
    return _mm256_set_m128(_mm_broadcast_ss(factors + size_t{2} * group + 1),
                           _mm_broadcast_ss(factors + size_t{2} * group));
  } else {
    return _mm256_broadcast_ss(factors + group);
  }
}

float bias_sum(const float* biases, const float* sums, uint32_t n) noexcept {
  __m256 lanes = _mm256_setzero_ps();
  uint32_t i = 0;
  for (; i + 8 <= n; i += 8)
    lanes = _mm256_fmadd_ps(_mm256_load_ps(biases + i), _mm256_loadu_ps(sums + i), lanes);
  if (i < n) lanes = _mm256_fmadd_ps(_mm256_load_ps(biases + i), load_part(sums + i, n - i), lanes);
  return sum_lanes(lanes, _mm256_setzero_ps());
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

// R rows from `row` on (row 0 of `codes` and `scales` is that row) against C columns.
template <class Codec, uint32_t R, uint32_t C, class Codes>
void tile(const kernel::Int8Job& job, uint32_t row, const Codes& codes, uint32_t first, const Scales& scales,
          const Column (&columns)[C]) noexcept {
  constexpr uint32_t kPerGroup = Codec::kHalves ? 2 : 1;
  const uint32_t groups = (job.weight->cols + kGroup - 1) / kGroup;
  const __m256i ones = _mm256_set1_epi16(1);
  __m256 sums[R][C];
#pragma GCC unroll 8
  for (uint32_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) sums[r][c] = _mm256_setzero_ps();
  }
  for (uint32_t block = 0; block < groups; block += kBlock) {
    alignas(32) float factors[R][C][kBlock * kPerGroup];
#pragma GCC unroll 8
    for (uint32_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (uint32_t c = 0; c < C; ++c) {
        multiply_factors<Codec::kHalves>(
            scales.factors + (first + r) * scales.stride + size_t{block} * kPerGroup,
            columns[c].scales + block, factors[r][c]);
      }
    }
    const uint32_t count = smaller(kBlock, groups - block);
    for (uint32_t g = 0; g < count; ++g) {
      __m256i code[R];
      __m256i magnitude[R];
#pragma GCC unroll 8
      for (uint32_t r = 0; r < R; ++r) {
        code[r] = codes.load(first + r, block + g);
        magnitude[r] = Codec::kSigned ? _mm256_abs_epi8(code[r]) : code[r];
      }
#pragma GCC unroll 8
      for (uint32_t c = 0; c < C; ++c) {
        const __m256i x = load32(columns[c].values + size_t{kGroup} * (block + g));
#pragma GCC unroll 8
        for (uint32_t r = 0; r < R; ++r) {
          const __m256i signed_x = Codec::kSigned ? _mm256_sign_epi8(x, code[r]) : x;
          const __m256i products = _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude[r], signed_x), ones);
          sums[r][c] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products),
                                       factor_lanes<Codec::kHalves>(factors[r][c], g), sums[r][c]);
        }
      }
    }
  }
  const uint32_t bias_groups = job.weight->cols / job.weight->format.group;
#pragma GCC unroll 8
  for (uint32_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (uint32_t c = 0; c < C; ++c) {
      const float bias = bias_sum(scales.biases + (first + r) * scales.stride, columns[c].sums, bias_groups);
      const float sum = sum_lanes(sums[r][c], _mm256_setzero_ps()) + bias;
      columns[c].y[row + first + r] = sum * job.weight->global_scale;
    }
  }
}

// `count` rows from `row` on against the columns [first_column, first_column + C).
template <class Codec, uint32_t R, uint32_t C, class Codes>
void strip(const kernel::Int8Job& job, uint32_t row, uint32_t count, const Codes& codes, const Scales& scales,
           uint32_t first_column) noexcept {
  Column columns[C];
#pragma GCC unroll 8
  for (uint32_t c = 0; c < C; ++c) columns[c] = column_of(job, first_column + c);
  uint32_t r = 0;
  for (; r + R <= count; r += R) tile<Codec, R, C>(job, row, codes, r, scales, columns);
  for (; r < count; ++r) tile<Codec, 1, C>(job, row, codes, r, scales, columns);
}

template <class Codec>
void unpack_row(const kernel::Int8Job& job, uint32_t row, std::byte* out) noexcept {
  const uint32_t cols = job.weight->cols;
  const std::byte* in = row_of(job.weight->codes, row);
  auto* to = reinterpret_cast<__m256i*>(out);
  for (uint32_t g = 0; g < cols / kGroup; ++g)
    _mm256_store_si256(to + g, Codec::codes(in + size_t{g} * Codec::kBytes));
  if constexpr (Codec::kHalves) {
    if (cols % kGroup != 0) {
      _mm256_store_si256(to + cols / kGroup, Codec::half_codes(in + size_t{cols / kGroup} * Codec::kBytes));
    }
  }
}

// Rows in tiles of kInt8RowTile. One column reads the codes as they are; several share codes unpacked to bytes. Scratch:
// the bytes of a tile, then its factors, then its biases.
template <class Codec>
void int8_rows(const kernel::Int8Job& job) noexcept {
  constexpr uint32_t kTile = kernel::kInt8RowTile;
  const WeightMatrix& weight = *job.weight;
  const size_t padded = (size_t{weight.cols} + 511) / 512 * 512;
  const size_t scale_stride = padded / 16;
  auto* factors = reinterpret_cast<float*>(job.scratch + kTile * padded);
  const Scales scales{factors, factors + kTile * scale_stride, scale_stride};
  for (size_t i = 0; i < 2 * kTile * scale_stride; i += 8) _mm256_store_ps(factors + i, _mm256_setzero_ps());

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
    for (; c + 4 <= job.column_count; c += 4) strip<Codec, 2, 4>(job, row, count, codes, scales, c);
    for (; c + 2 <= job.column_count; c += 2) strip<Codec, 2, 2>(job, row, count, codes, scales, c);
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

}  // namespace mach::avx2
