// Kernels for AArch64 with the baseline vector instructions. Everything in this folder has internal linkage or this
// namespace. Four registers are the 16 lanes of the fixed order of sums.
#pragma once

#include "kernels/kernel_types.h"

namespace mach::neon {

kernel::DotRows dot_rows_f32, dot_rows_f16, dot_rows_bf16;
kernel::MixRows mix_rows_f32, mix_rows_f16, mix_rows_bf16;

kernel::DecodeRow decode_f32, decode_f16, decode_bf16;
kernel::DecodeRow decode_affine2, decode_affine3, decode_affine4, decode_affine5, decode_affine6,
    decode_affine8;
kernel::DecodeRow decode_mxfp4, decode_nvfp4, decode_fp8;  // fp8: kMxFp8 and kFp8Block

kernel::Int8Rows int8_affine2, int8_affine3, int8_affine4, int8_affine5, int8_affine6, int8_affine8;
kernel::Int8Rows int8_mxfp4, int8_nvfp4;
kernel::QuantizeInt8 quantize_int8;
kernel::RefineInt8 refine_int8;
kernel::TotalInt8 total_int8;

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

}  // namespace mach::neon
