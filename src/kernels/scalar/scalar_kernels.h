// The reference kernels: plain C++, written to be read. Every other instruction set is tested against these, bit for bit
// where kernel_types.h promises that. Fused multiply-add is std::fma, which is slow where the target has no such
// instruction; that is the price of the same bits everywhere.
#pragma once

#include "kernels/attention_types.h"
#include "kernels/kernel_types.h"

namespace mach::scalar {

kernel::DotRows dot_rows_f32, dot_rows_f16, dot_rows_bf16;
kernel::MixRows mix_rows_f32, mix_rows_f16, mix_rows_bf16;

kernel::DecodeRow decode_row;             // of every format
kernel::Int8Rows int8_panels, int8_rows;  // of every integer format
kernel::QuantizeInt8 quantize_int8;
kernel::RefineInt8 refine_int8;
kernel::TotalInt8 total_int8;

kernel::PackQueries pack_queries_f32;
kernel::Attend attend_bf16, attend_q8;
kernel::ToQ8 q8_from_f32;

kernel::RmsNorm rms_norm;
kernel::Scale scale;
kernel::Add add;
kernel::Multiply multiply;
kernel::Axpy axpy;
kernel::ScaleAxpy scale_axpy;
kernel::GatedActivation gated_activation;
kernel::SigmoidMultiply sigmoid_multiply;
kernel::Unary exp, silu;
kernel::SoftCap soft_cap;
kernel::Softmax softmax;
kernel::Rope rope_half_split, rope_interleaved;
kernel::ArgMax argmax;
kernel::FromHalf f32_from_bf16, f32_from_f16;
kernel::ToHalf bf16_from_f32, f16_from_f32;

}  // namespace mach::scalar
