// The dispatch table: one row of kernels per instruction set, best first. A set is chosen once at start, can be forced by
// name, and is passed along by reference; there is no global choice. What each function computes: kernel_types.h.
// Constant data, thread-safe.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>

#include "base/cpu_features.h"
#include "kernels/attention_types.h"
#include "kernels/kernel_types.h"

namespace mach {

struct KernelSet {
  std::string_view name;
  CpuFeatures required;

  // Products (use multiply() of kernels/product.h, which splits the work and picks the kernel).
  std::span<const kernel::FormatKernels> formats;
  kernel::QuantizeInt8* quantize_int8;
  kernel::RefineInt8* refine_int8;
  kernel::TotalInt8* total_int8;

  // Rows of plain floats: products with f32, f16 and bf16 weights, and attention (keys are rows, queries columns).
  kernel::DotRows *dot_rows_f32, *dot_rows_f16, *dot_rows_bf16;
  kernel::MixRows *mix_rows_f32, *mix_rows_f16, *mix_rows_bf16;  // attention's weighted sum of value rows

  // Attention of fast mode, by how keys and values are stored, and how a row becomes 8 bits.
  kernel::AttentionKernels attention_bf16, attention_q8;
  kernel::ToQ8* q8_from_f32;

  kernel::RmsNorm* rms_norm;
  kernel::Scale* scale;
  kernel::Add* add;
  kernel::Multiply* multiply;
  kernel::Axpy* axpy;
  kernel::ScaleAxpy* scale_axpy;
  kernel::GatedActivation* gated_activation;
  kernel::SigmoidMultiply* sigmoid_multiply;
  kernel::Unary *exp, *silu;
  kernel::SoftCap* soft_cap;
  kernel::Softmax* softmax;
  kernel::Rope *rope_half_split, *rope_interleaved;
  kernel::ArgMax* argmax;
  kernel::FromHalf *f32_from_bf16, *f32_from_f16;
  kernel::ToHalf *bf16_from_f32, *f16_from_f32;

  // The kernels for a format; never null for one that check_format accepts.
  const kernel::FormatKernels* find_format(const WeightFormat& format) const noexcept;

  // sum of a[i] * b[i], in the order of dot_rows.
  float dot(std::span<const float> a, std::span<const float> b) const noexcept;
};

// The group over which int8_rows wants sums of the activations, and its scratch: unpacked codes, scales and biases; and what
// int8_panels needs, whatever the matrix.
constexpr uint32_t int8_sum_group(const WeightFormat& format) noexcept { return format.group; }
constexpr size_t int8_scratch_bytes(uint32_t cols) noexcept {
  const size_t padded = (size_t{cols} + 511) / 512 * 512;
  return std::max(kernel::kInt8RowTile * (padded + 2 * (padded / 16) * sizeof(float)),
                  kernel::kInt8PanelScratch);
}

// Compiled into this program, best first; the last is "scalar", which runs anywhere.
std::span<const KernelSet* const> kernel_sets() noexcept;

// The first set that `available` can run, or the one named `forced`. Throws Error{kUnsupported} for a name that does not
// exist or needs features that are missing, saying which.
const KernelSet& select_kernel_set(CpuFeatures available, std::string_view forced = "");

}  // namespace mach
