#include "kernels/activations.h"

#include <algorithm>

#include "base/checked_math.h"

namespace mach {
namespace {

constexpr uint32_t kSumGroups[] = {16, 32, 64, 128};

uint32_t padded_dim(uint32_t dim) { return static_cast<uint32_t>(round_up(dim, 64)); }
uint32_t scales_of(uint32_t dim) { return static_cast<uint32_t>(round_up(dim, 512)) / 32; }
uint32_t sums_of(uint32_t dim, uint32_t group) { return static_cast<uint32_t>(ceil_div(dim, group)); }

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

// Rows per chunk: about 50 microseconds at a few bytes per nanosecond.
uint32_t rows_per_chunk(uint32_t dim) { return std::max(1U, 65536U / std::max(1U, dim)); }

}  // namespace

void Activations::assign(const float* x, uint32_t count, uint32_t dim, size_t stride) noexcept {
  x_ = x;
  count_ = count;
  dim_ = dim;
  stride_ = stride == 0 ? dim : stride;
  quantized_ = false;
}

kernel::Int8View Activations::int8(Compute& compute, uint32_t sum_group) const {
  if (!quantized_) quantize(compute);
  return {.values = reinterpret_cast<const int8_t*>(values_.data()),
          .scales = scales_.as<float>().data(),
          .sums = sums_.as<float>().data() + sums_offset(dim_, sum_group),
          .value_stride = padded_dim(dim_),
          .scale_stride = scales_of(dim_),
          .sum_stride = sums_length(dim_)};
}

void Activations::quantize(Compute& compute) const {
  grow(values_, size_t{count_} * padded_dim(dim_));
  grow(scales_, size_t{count_} * scales_of(dim_) * sizeof(float));
  grow(sums_, size_t{count_} * sums_length(dim_) * sizeof(float));
  const uint32_t grain = rows_per_chunk(dim_);
  if (count_ <= grain) {
    for (uint32_t i = 0; i < count_; ++i) quantize_row(compute.kernels, i);
  } else {
    compute.pool.run_ranges(count_, grain, [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i) quantize_row(compute.kernels, static_cast<uint32_t>(i));
    });
  }
  quantized_ = true;
}

void Activations::quantize_row(const KernelSet& kernels, uint32_t i) const noexcept {
  int8_t* values = values_.as<int8_t>().data() + size_t{i} * padded_dim(dim_);
  float* scales = scales_.as<float>().data() + size_t{i} * scales_of(dim_);
  float* sums = sums_.as<float>().data() + size_t{i} * sums_length(dim_);
  kernels.quantize_int8(row(i), dim_, values, scales);
  std::fill(scales + padded_dim(dim_) / 32, scales + scales_of(dim_), 0.0F);

  const uint32_t sixteenths = sums_of(dim_, 16);
  for (uint32_t g = 0; g < sixteenths; ++g) {
    int32_t sum = 0;
    for (uint32_t k = 0; k < 16; ++k) sum += values[16 * g + k];
    sums[g] = scales[g / 2] * static_cast<float>(sum);
  }
  // Each coarser level adds pairs of the one before.
  const float* finer = sums;
  uint32_t finer_count = sixteenths;
  for (const uint32_t group : {32U, 64U, 128U}) {
    float* coarser = sums + sums_offset(dim_, group);
    const uint32_t count = sums_of(dim_, group);
    for (uint32_t g = 0; g < count; ++g) {
      coarser[g] = finer[2 * g] + (2 * g + 1 < finer_count ? finer[2 * g + 1] : 0.0F);
    }
    finer = coarser;
    finer_count = count;
  }
}

}  // namespace mach
