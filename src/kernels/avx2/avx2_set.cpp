#include "kernels/avx2/avx2_kernels.h"
#include "kernels/kernel_set_rows.h"

namespace mach {
namespace {

constexpr kernel::FormatKernels kFormats[] = {
    {CodecId::kF32, 32, avx2::decode_f32, nullptr, nullptr, nullptr},
    {CodecId::kF16, 16, avx2::decode_f16, nullptr, nullptr, nullptr},
    {CodecId::kBF16, 16, avx2::decode_bf16, nullptr, nullptr, nullptr},
    {CodecId::kAffine, 2, avx2::decode_affine2, avx2::dot_one_affine2, avx2::int8_affine2,
     avx2::panels_affine2},
    {CodecId::kAffine, 3, avx2::decode_affine3, avx2::dot_one_affine3, avx2::int8_affine3, nullptr},
    {CodecId::kAffine, 4, avx2::decode_affine4, avx2::dot_one_affine4, avx2::int8_affine4,
     avx2::panels_affine4},
    {CodecId::kAffine, 5, avx2::decode_affine5, avx2::dot_one_affine5, avx2::int8_affine5, nullptr},
    {CodecId::kAffine, 6, avx2::decode_affine6, avx2::dot_one_affine6, avx2::int8_affine6, nullptr},
    {CodecId::kAffine, 8, avx2::decode_affine8, avx2::dot_one_affine8, avx2::int8_affine8,
     avx2::panels_affine8},
    {CodecId::kMxFp4, 4, avx2::decode_mxfp4, avx2::dot_one_mxfp4, avx2::int8_mxfp4, avx2::panels_mxfp4},
    {CodecId::kMxFp8, 8, avx2::decode_fp8, avx2::dot_one_fp8, nullptr, nullptr},
    {CodecId::kNvFp4, 4, avx2::decode_nvfp4, nullptr, avx2::int8_nvfp4, avx2::panels_nvfp4},
    {CodecId::kFp8Block, 8, avx2::decode_fp8, avx2::dot_one_fp8, nullptr, nullptr},
};

}  // namespace

constinit const KernelSet kAvx2Set = {
    .name = "avx2",
    .required = kAvx2 | kFma | kF16c,
    .formats = kFormats,
    .quantize_int8 = avx2::quantize_int8,
    .refine_int8 = avx2::refine_int8,
    .total_int8 = avx2::total_int8,
    .dot_rows_f32 = avx2::dot_rows_f32,
    .dot_rows_f16 = avx2::dot_rows_f16,
    .dot_rows_bf16 = avx2::dot_rows_bf16,
    .mix_rows_f32 = avx2::mix_rows_f32,
    .mix_rows_f16 = avx2::mix_rows_f16,
    .mix_rows_bf16 = avx2::mix_rows_bf16,
    .attention_bf16 = {avx2::pack_queries_f32, avx2::attend_bf16},
    .attention_q8 = {avx2::pack_queries_f32, avx2::attend_q8},
    .q8_from_f32 = avx2::q8_from_f32,
    .rms_norm = avx2::rms_norm,
    .scale = avx2::scale,
    .add = avx2::add,
    .multiply = avx2::multiply,
    .axpy = avx2::axpy,
    .scale_axpy = avx2::scale_axpy,
    .gated_activation = avx2::gated_activation,
    .sigmoid_multiply = avx2::sigmoid_multiply,
    .exp = avx2::exp,
    .silu = avx2::silu,
    .soft_cap = avx2::soft_cap,
    .softmax = avx2::softmax,
    .rope_half_split = avx2::rope_half_split,
    .rope_interleaved = avx2::rope_interleaved,
    .argmax = avx2::argmax,
    .f32_from_bf16 = avx2::f32_from_bf16,
    .f32_from_f16 = avx2::f32_from_f16,
    .bf16_from_f32 = avx2::bf16_from_f32,
    .f16_from_f32 = avx2::f16_from_f32,
};

}  // namespace mach
