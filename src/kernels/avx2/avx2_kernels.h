// Kernels for x86-64 with AVX2, FMA and F16C. The files of this folder are compiled with those flags; everything in them
// has internal linkage or this namespace, and they call no inline function of a header that generic code includes too.
#pragma once

#include "kernels/attention_types.h"
#include "kernels/kernel_types.h"

namespace mach::avx2 {

kernel::DotRows dot_rows_f32, dot_rows_f16, dot_rows_bf16;
kernel::MixRows mix_rows_f32, mix_rows_f16, mix_rows_bf16;

kernel::DecodeRow decode_f32, decode_f16, decode_bf16;
kernel::DecodeRow decode_affine2, decode_affine3, decode_affine4, decode_affine5, decode_affine6,
    decode_affine8;
kernel::DecodeRow decode_mxfp4, decode_nvfp4, decode_fp8;  // fp8: kMxFp8 and kFp8Block

kernel::DotOne dot_one_affine2, dot_one_affine3, dot_one_affine4, dot_one_affine5, dot_one_affine6,
    dot_one_affine8;
kernel::DotOne dot_one_mxfp4, dot_one_fp8;

kernel::Int8Rows int8_affine2, int8_affine3, int8_affine4, int8_affine5, int8_affine6, int8_affine8;
kernel::Int8Rows int8_mxfp4, int8_nvfp4;
kernel::Int8Rows panels_affine2, panels_affine4, panels_affine8, panels_mxfp4, panels_nvfp4;
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

}  // namespace mach::avx2
