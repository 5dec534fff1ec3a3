#include "kernels/activations.h"

#include <algorithm>
#include <iterator>

#include "base/checked_math.h"

namespace mach {
namespace {

constexpr uint32_t kSumGroups[] = {16, 32, 64, 128};

uint32_t padded_dim(uint32_t dim) { return static_cast<uint32_t>(round_up(dim, 64)); }
uint32_t scales_of(uint32_t dim) { return static_cast<uint32_t>(round_up(dim, 512)) / 32; }
uint32_t sums_of(uint32_t dim, uint32_t group) { return static_cast<uint32_t>(ceil_div(dim, group)); }

uint32_t totals_of(uint32_t dim) { return padded_dim(dim) / 16; }

// Where the sums per `group` begin in a row of sums; kSumGroups' last element + 1 gives the length of the row.
uint32_t sums_offset(uint32_t dim, uint32_t group) {
  uint32_t offset = 0;
  for (const uint32_t smaller : kSumGroups) {
    if (smaller < group) offset += sums_of(dim, smaller);
  }
  return offset;
}
uint32_t sums_length(uint32_t dim) { return sums_offset(dim, UINT32_MAX); }

void grow(AlignedBuffer& buffer, size_t bytes) {
  if (buffer.size() < bytes) buffer = AlignedBuffer(bytes);
}

// Elements from one row of bf16 to the next: not a multiple of 2 KiB, so that the columns of a tile do not all compete for the
// same places of a cache whose ways repeat every 4 KiB.
uint32_t bf16_stride(uint32_t dim) {
  const auto padded = static_cast<uint32_t>(round_up(dim, 32));
  return padded % 1024 == 0 ? padded + 256 : padded;
}

// Rows per chunk: about 50 microseconds at a few bytes per nanosecond.
uint32_t rows_per_chunk(uint32_t dim) { return std::max(1U, 65536U / std::max(1U, dim)); }

}  // namespace

void Activations::assign(const float* x, uint32_t count, uint32_t dim, size_t stride) noexcept {
  x_ = x;
  count_ = count;
  dim_ = dim;
  stride_ = stride == 0 ? dim : stride;
  for (Sums& sums : sums_) sums.valid = false;
  std::fill(std::begin(bf16_valid_), std::end(bf16_valid_), false);
}

void Activations::grow_one_term(Sums& sums) const {
  grow(values_, size_t{count_} * padded_dim(dim_));
  grow(scales_, size_t{count_} * scales_of(dim_) * sizeof(float));
  grow(sums.floats, size_t{count_} * sums_length(dim_) * sizeof(float));
  grow(sums.totals, size_t{count_} * totals_of(dim_) * sizeof(int32_t));
}

void Activations::reserve_pieces(uint32_t count, uint32_t dim) {
  assign(nullptr, count, dim);
  Sums& sums = sums_[static_cast<size_t>(Terms::kOne)];
  grow_one_term(sums);
  sums.valid = true;
}

void Activations::set_piece(const KernelSet& kernels, uint32_t i, uint32_t first,
                            std::span<const float> values) noexcept {
  const auto size = static_cast<uint32_t>(values.size());
  float* scales = scales_.as<float>().data() + size_t{i} * scales_of(dim_);
  kernels.quantize_int8(values.data(), size,
                        values_.as<int8_t>().data() + size_t{i} * padded_dim(dim_) + first,
                        scales + first / 32);
  if (first + size == dim_) std::fill(scales + padded_dim(dim_) / 32, scales + scales_of(dim_), 0.0F);
  sum_row(kernels, i, Terms::kOne, first, first + size);
}

kernel::Int8View Activations::int8(Compute& compute, uint32_t sum_group, Terms terms) const {
  const Sums& sums = sums_[static_cast<size_t>(terms)];
  if (!sums.valid) quantize(compute, terms);
  return {.values = values_.as<int8_t>().data(),
          .low = terms == Terms::kTwo ? low_.as<int8_t>().data() : nullptr,
          .scales = scales_.as<float>().data(),
          .sums = sums.floats.as<float>().data() + sums_offset(dim_, sum_group),
          .totals = sums.totals.as<int32_t>().data(),
          .value_stride = padded_dim(dim_),
          .scale_stride = scales_of(dim_),
          .sum_stride = sums_length(dim_),
          .total_stride = totals_of(dim_)};
}

void Activations::quantize(Compute& compute, Terms terms) const {
  const bool first = !sums_[0].valid && !sums_[1].valid;
  Sums& sums = sums_[static_cast<size_t>(terms)];
  grow_one_term(sums);
  if (terms == Terms::kTwo) grow(low_, size_t{count_} * padded_dim(dim_));

  for_rows(compute, [&](uint32_t i) {
    if (first) quantize_row(compute.kernels, i);
    if (terms == Terms::kTwo) refine_row(compute.kernels, i);
    sum_row(compute.kernels, i, terms, 0, dim_);
  });
  sums.valid = true;
}

void Activations::for_rows(Compute& compute, FunctionRef<void(uint32_t)> prepare_row) const {
  const uint32_t grain = rows_per_chunk(dim_);
  if (count_ <= grain) {
    for (uint32_t i = 0; i < count_; ++i) prepare_row(i);
  } else {
    compute.pool.run_ranges(count_, grain, [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i) prepare_row(static_cast<uint32_t>(i));
    });
  }
}

kernel::Bf16View Activations::bf16(Compute& compute, Terms terms) const {
  const size_t bytes = size_t{count_} * bf16_stride(dim_) * 2;
  bool& valid = bf16_valid_[static_cast<size_t>(terms)];
  if (!valid) {
    grow(bf16_high_, bytes);
    if (terms == Terms::kTwo) grow(bf16_low_, bytes);
    for_rows(compute, [&](uint32_t i) { round_row(compute.kernels, i, terms); });
    valid = true;
    bf16_valid_[static_cast<size_t>(Terms::kOne)] = true;
  }
  return {.high = bf16_high_.data(),
          .low = terms == Terms::kTwo ? bf16_low_.data() : nullptr,
          .stride = bf16_stride(dim_)};
}

// low = x - high, which fp32 holds exactly, rounded.
void Activations::round_row(const KernelSet& kernels, uint32_t i, Terms terms) const noexcept {
  const size_t begin = size_t{i} * bf16_stride(dim_) * 2;
  std::byte* high = bf16_high_.data() + begin;
  const size_t padding = (round_up(dim_, 32) - dim_) * 2;
  kernels.bf16_from_f32(row(i), dim_, high);
  std::fill_n(high + size_t{2} * dim_, padding, std::byte{0});
  if (terms == Terms::kOne) return;
  std::byte* low = bf16_low_.data() + begin;
  constexpr uint32_t kPiece = 512;
  float rounded[kPiece];
  float rest[kPiece];
  for (uint32_t k = 0; k < dim_; k += kPiece) {
    const uint32_t n = std::min(kPiece, dim_ - k);
    kernels.f32_from_bf16(high + size_t{2} * k, n, rounded);
    std::copy_n(row(i) + k, n, rest);
    kernels.axpy(-1.0F, rounded, n, rest);
    kernels.bf16_from_f32(rest, n, low + size_t{2} * k);
  }
  std::fill_n(low + size_t{2} * dim_, padding, std::byte{0});
}

void Activations::quantize_row(const KernelSet& kernels, uint32_t i) const noexcept {
  float* scales = scales_.as<float>().data() + size_t{i} * scales_of(dim_);
  kernels.quantize_int8(row(i), dim_, values_.as<int8_t>().data() + size_t{i} * padded_dim(dim_), scales);
  std::fill(scales + padded_dim(dim_) / 32, scales + scales_of(dim_), 0.0F);
}

void Activations::refine_row(const KernelSet& kernels, uint32_t i) const noexcept {
  const size_t begin = size_t{i} * padded_dim(dim_);
  kernels.refine_int8(row(i), dim_, values_.as<int8_t>().data() + begin,
                      scales_.as<float>().data() + size_t{i} * scales_of(dim_),
                      low_.as<int8_t>().data() + begin);
}

// The sums of values [begin, end) of a row; begin is a multiple of 128.
void Activations::sum_row(const KernelSet& kernels, uint32_t i, Terms terms, uint32_t begin,
                          uint32_t end) const noexcept {
  Sums& stored = sums_[static_cast<size_t>(terms)];
  const size_t row_begin = size_t{i} * padded_dim(dim_);
  const float* scales = scales_.as<float>().data() + size_t{i} * scales_of(dim_);
  int32_t* totals = stored.totals.as<int32_t>().data() + size_t{i} * totals_of(dim_);
  float* sums = stored.floats.as<float>().data() + size_t{i} * sums_length(dim_);
  const float unit = terms == Terms::kTwo ? 0x1p-8F : 1.0F;
  kernels.total_int8(values_.as<int8_t>().data() + row_begin + begin,
                     terms == Terms::kTwo ? low_.as<int8_t>().data() + row_begin + begin : nullptr,
                     padded_dim(end) - begin, totals + begin / 16);
  for (uint32_t g = begin / 16; g < sums_of(end, 16); ++g) {
    sums[g] = scales[g / 2] * (unit * static_cast<float>(totals[g]));
  }
  // Each coarser level adds pairs of the one before.
  const float* finer = sums;
  uint32_t finer_end = sums_of(end, 16);
  for (const uint32_t group : {32U, 64U, 128U}) {
    float* coarser = sums + sums_offset(dim_, group);
    const uint32_t last = sums_of(end, group);
    for (uint32_t g = begin / group; g < last; ++g) {
      coarser[g] = finer[2 * g] + (2 * g + 1 < finer_end ? finer[2 * g + 1] : 0.0F);
    }
    finer = coarser;
    finer_end = last;
  }
}

}  // namespace mach
