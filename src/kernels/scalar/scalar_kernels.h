// The reference kernels: plain C++, written to be read. Every other instruction set is tested against these, bit for bit
// where kernel_types.h promises that. Fused multiply-add is std::fma, which is slow where the target has no such
// instruction; that is the price of the same bits everywhere.
#pragma once

#include "kernels/kernel_types.h"

namespace mach::scalar {

void dot_rows_f32(kernel::Rows rows, uint32_t n, const float* const* x, uint32_t columns, float* y,
                  size_t y_stride) noexcept;
void dot_rows_f16(kernel::Rows rows, uint32_t n, const float* const* x, uint32_t columns, float* y,
                  size_t y_stride) noexcept;
void dot_rows_bf16(kernel::Rows rows, uint32_t n, const float* const* x, uint32_t columns, float* y,
                   size_t y_stride) noexcept;
void mix_rows_f32(kernel::Rows rows, uint32_t n, const float* weights, size_t weight_stride, uint32_t columns,
                  float* y, size_t y_stride) noexcept;
void mix_rows_f16(kernel::Rows rows, uint32_t n, const float* weights, size_t weight_stride, uint32_t columns,
                  float* y, size_t y_stride) noexcept;
void mix_rows_bf16(kernel::Rows rows, uint32_t n, const float* weights, size_t weight_stride,
                   uint32_t columns, float* y, size_t y_stride) noexcept;

void decode_row(const WeightMatrix& weight, uint32_t row, float* out) noexcept;
void int8_rows(const kernel::Int8Job& job) noexcept;
void quantize_int8(const float* x, uint32_t n, int8_t* values, float* scales) noexcept;

void rms_norm(const float* x, const float* w, float eps, uint32_t n, float* y) noexcept;
void scale(float a, uint32_t n, float* y) noexcept;
void add(const float* x, uint32_t n, float* y) noexcept;
void multiply(const float* x, uint32_t n, float* y) noexcept;
void axpy(float a, const float* x, uint32_t n, float* y) noexcept;
void scale_axpy(float b, float a, const float* x, uint32_t n, float* y) noexcept;
void gated_activation(const kernel::GateParameters& parameters, const float* g, const float* u, uint32_t n,
                      float* y) noexcept;
void sigmoid_multiply(const float* x, uint32_t n, float* y) noexcept;
void exp(uint32_t n, float* y) noexcept;
void silu(uint32_t n, float* y) noexcept;
void soft_cap(float cap, uint32_t n, float* y) noexcept;
void softmax(const float* sink, uint32_t n, float* y) noexcept;
void rope_half_split(const float* cos, const float* sin, uint32_t pairs, float* y) noexcept;
void rope_interleaved(const float* cos, const float* sin, uint32_t pairs, float* y) noexcept;
uint32_t argmax(const float* x, uint32_t n) noexcept;
void f32_from_bf16(const std::byte* x, uint32_t n, float* y) noexcept;
void f32_from_f16(const std::byte* x, uint32_t n, float* y) noexcept;
void bf16_from_f32(const float* x, uint32_t n, std::byte* y) noexcept;
void f16_from_f32(const float* x, uint32_t n, std::byte* y) noexcept;

}  // namespace mach::scalar
