// What the kernel tests share: memory that ends where the mapping ends (a read or write one byte beyond is a crash), with
// guard bytes in front; random weight matrices in any format with odd addresses and strides; the list of sets to test.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/half.h"
#include "kernels/kernel_set.h"
#include "quant/codec.h"
#include "quant/packing.h"

namespace mach::testing {

// Bytes whose end is the end of a readable page, minus `slack`. check() fails if the guard before them was written.
class GuardedBytes {
 public:
  explicit GuardedBytes(size_t size, size_t slack = 0) : size_(size) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    mapped_ = (size + slack + kGuard + page - 1) / page * page + page;
    base_ = static_cast<std::byte*>(
        mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED) throw std::bad_alloc();
    mprotect(base_ + mapped_ - page, page, PROT_NONE);
    data_ = base_ + mapped_ - page - slack - size;
    std::memset(data_ - kGuard, 0xA5, kGuard);
  }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;
  ~GuardedBytes() { munmap(base_, mapped_); }

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  bool guard_intact() const {
    return std::all_of(data_ - kGuard, data_, [](std::byte b) { return b == std::byte{0xA5}; });
  }

 private:
  static constexpr size_t kGuard = 64;
  std::byte* base_ = nullptr;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t mapped_ = 0;
};

class GuardedFloats : public GuardedBytes {
 public:
  explicit GuardedFloats(size_t n, float fill = 0.0F) : GuardedBytes(n * sizeof(float)) {
    std::fill_n(get(), n, fill);
  }
  explicit GuardedFloats(const std::vector<float>& values) : GuardedFloats(values.size()) {
    std::copy(values.begin(), values.end(), get());
  }
  float* get() const { return reinterpret_cast<float*>(data()); }
  std::span<float> span() const { return {get(), size() / sizeof(float)}; }
  std::vector<float> values() const { return {span().begin(), span().end()}; }
};

inline std::vector<float> random_floats(size_t n, uint32_t seed, float scale = 1.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, scale);
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

// Equal bits, except that any NaN equals any NaN. Says where two results differ first.
inline ::testing::AssertionResult same_bits(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size())
    return ::testing::AssertionFailure() << a.size() << " against " << b.size() << " values";
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<uint32_t>(a[i]) == std::bit_cast<uint32_t>(b[i]) || (a[i] != a[i] && b[i] != b[i]))
      continue;
    return ::testing::AssertionFailure()
           << "element " << i << ": " << std::hexfloat << a[i] << " against " << b[i];
  }
  return ::testing::AssertionSuccess();
}

// A matrix of random codes and plausible random scales, some of them zero or negative where the codec allows that. Planes
// begin at odd addresses and end at a page's end; rows may lie apart.
class RandomMatrix {
 public:
  RandomMatrix(WeightFormat format, uint32_t rows, uint32_t cols, uint32_t seed, uint64_t row_gap = 0)
      : random_(seed),
        codes_(plane_bytes(rows, row_bytes(format, cols) + row_gap, row_gap), seed % 3),
        scales_(plane_bytes(scale_rows(format, rows), scale_row_bytes(format, cols) + row_gap, row_gap),
                seed % 2),
        biases_(plane_bytes(scale_rows(format, rows), scale_row_bytes(format, cols) + row_gap, row_gap), 1) {
    weight_.format = format;
    weight_.rows = rows;
    weight_.cols = cols;
    weight_.codes = {codes_.data(), row_bytes(format, cols) + row_gap};
    if (format.scale != ScaleType::kNone)
      weight_.scales = {scales_.data(), scale_row_bytes(format, cols) + row_gap};
    if (codec_row(format.codec).biases)
      weight_.biases = {biases_.data(), scale_row_bytes(format, cols) + row_gap};
    if (format.codec == CodecId::kNvFp4) weight_.global_scale = 0.37F;
    fill_codes();
    for (uint64_t r = 0; r < scale_rows(format, rows); ++r) {
      for (uint64_t g = 0; g < scales_per_row(format, cols); ++g) fill_scale(r, g);
    }
  }

  const WeightMatrix& view() const { return weight_; }
  WeightMatrix& view() { return weight_; }

 private:
  static size_t plane_bytes(uint64_t rows, uint64_t stride, uint64_t gap) {
    return rows == 0 ? 0 : rows * stride - gap;
  }

  void fill_codes() {
    const CodecId codec = weight_.format.codec;
    for (size_t i = 0; i < codes_.size(); ++i) {
      auto byte = static_cast<uint8_t>(random_());
      if ((codec == CodecId::kMxFp8 || codec == CodecId::kFp8Block) && (byte & 0x7fU) == 0x7fU) byte ^= 1U;
      codes_.data()[i] = static_cast<std::byte>(byte);
    }
    std::normal_distribution<float> normal;
    for (uint32_t r = 0; r < weight_.rows; ++r) {
      std::byte* row = codes_.data() + r * weight_.codes.row_stride;
      for (size_t c = 0; c < weight_.cols; ++c) {
        if (codec == CodecId::kF32) store_unaligned(row + 4 * c, normal(random_));
        if (codec == CodecId::kF16) store_unaligned(row + 2 * c, f32_to_f16(normal(random_)));
        if (codec == CodecId::kBF16) store_unaligned(row + 2 * c, f32_to_bf16(normal(random_)));
      }
    }
  }

  void fill_scale(uint64_t row, uint64_t group) {
    const WeightFormat& format = weight_.format;
    const uint64_t at = row * weight_.scales.row_stride + group * scale_bytes(format.scale);
    const auto kind = random_() % 16;
    std::uniform_real_distribution<float> uniform(0.5F, 2.0F);
    if (format.scale == ScaleType::kE8M0) {
      scales_.data()[at] = static_cast<std::byte>(kind == 0 ? 0 : 110 + random_() % 16);
      return;
    }
    if (format.scale == ScaleType::kE4M3) {
      scales_.data()[at] = static_cast<std::byte>(random_() % 0x7f);
      return;
    }
    float scale = kind == 0 ? 0.0F : uniform(random_) * 0x1p-6F;
    if (format.codec == CodecId::kAffine && kind % 2 == 1) scale = -scale;
    store_scale(scales_.data() + at, scale);
    if (codec_row(format.codec).biases) {
      const float middle = scale * static_cast<float>(1U << (format.bits - 1U));
      store_scale(biases_.data() + at, -middle * uniform(random_));
    }
  }

  void store_scale(std::byte* p, float value) const {
    switch (weight_.format.scale) {
      case ScaleType::kF32:
        store_unaligned(p, value);
        break;
      case ScaleType::kF16:
        store_unaligned(p, f32_to_f16(value));
        break;
      case ScaleType::kBF16:
        store_unaligned(p, f32_to_bf16(value));
        break;
      default:
        break;
    }
  }

  std::mt19937 random_;
  GuardedBytes codes_, scales_, biases_;
  WeightMatrix weight_;
};

// A matrix in panel order that ends where its mapping ends.
class PackedMatrix {
 public:
  explicit PackedMatrix(const WeightMatrix& rows)
      : block_(ordered_bytes(WeightOrder::kPanels, rows.format, rows.rows, rows.cols)),
        view_(ordered_view(WeightOrder::kPanels, rows.format, rows.rows, rows.cols, block_.data(),
                           rows.global_scale)) {
    reorder(rows, WeightOrder::kPanels, {block_.data(), block_.size()});
  }
  const WeightMatrix& view() const { return view_; }

 private:
  GuardedBytes block_;
  WeightMatrix view_;
};

// Every format the table allows, once per combination that a kernel treats differently.
inline std::vector<WeightFormat> all_formats() {
  std::vector<WeightFormat> formats;
  for (const CodecRow& codec : kCodecs) {
    for (const uint8_t bits : codec.bits) {
      for (const ScaleType scale : codec.scales) {
        if (codec.id == CodecId::kFp8Block) {
          formats.push_back({codec.id, scale, bits, 128, 128});
          formats.push_back({codec.id, scale, bits, 24, 3});
          formats.push_back({codec.id, scale, bits, 0, 0});
          continue;
        }
        if (codec.groups.empty()) formats.push_back({codec.id, scale, bits, 0, 1});
        for (const uint16_t group : codec.groups) formats.push_back({codec.id, scale, bits, group, 1});
      }
    }
  }
  return formats;
}

// The smallest step by which the columns of a format may grow.
inline uint32_t column_step(const WeightFormat& format) {
  return format.codec == CodecId::kFp8Block || format.group == 0 ? 1 : format.group;
}

inline std::vector<const KernelSet*> runnable_sets() {
  std::vector<const KernelSet*> sets;
  for (const KernelSet* set : kernel_sets()) {
    if (probe_cpu_features().has(set->required)) sets.push_back(set);
  }
  return sets;
}

// One test per set that this machine can run; `kernels()` is the forced set.
class KernelSetTest : public ::testing::TestWithParam<const KernelSet*> {
 protected:
  static const KernelSet& kernels() { return select_kernel_set(probe_cpu_features(), GetParam()->name); }
};

#define MACH_FOR_EACH_KERNEL_SET(Suite)                                       \
  INSTANTIATE_TEST_SUITE_P(Sets, Suite, ::testing::ValuesIn(runnable_sets()), \
                           [](const auto& tested) { return std::string(tested.param->name); })

}  // namespace mach::testing
