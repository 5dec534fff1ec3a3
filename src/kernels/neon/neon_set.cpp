#include "kernels/kernel_set_rows.h"
#include "kernels/neon/neon_kernels.h"
#include "kernels/scalar/scalar_kernels.h"

namespace mach {
namespace {

constexpr kernel::FormatKernels kFormats[] = {
    {CodecId::kF32, 32, neon::decode_f32, nullptr, nullptr, nullptr},
    {CodecId::kF16, 16, neon::decode_f16, nullptr, nullptr, nullptr},
    {CodecId::kBF16, 16, neon::decode_bf16, nullptr, nullptr, nullptr},
    {CodecId::kAffine, 2, neon::decode_affine2, nullptr, neon::int8_affine2, nullptr},
    {CodecId::kAffine, 3, neon::decode_affine3, nullptr, neon::int8_affine3, nullptr},
    {CodecId::kAffine, 4, neon::decode_affine4, nullptr, neon::int8_affine4, nullptr},
    {CodecId::kAffine, 5, neon::decode_affine5, nullptr, neon::int8_affine5, nullptr},
    {CodecId::kAffine, 6, neon::decode_affine6, nullptr, neon::int8_affine6, nullptr},
    {CodecId::kAffine, 8, neon::decode_affine8, nullptr, neon::int8_affine8, nullptr},
    {CodecId::kMxFp4, 4, neon::decode_mxfp4, nullptr, neon::int8_mxfp4, nullptr},
    {CodecId::kMxFp8, 8, neon::decode_fp8, nullptr, nullptr, nullptr},
    {CodecId::kNvFp4, 4, neon::decode_nvfp4, nullptr, neon::int8_nvfp4, nullptr},
    {CodecId::kFp8Block, 8, neon::decode_fp8, nullptr, nullptr, nullptr},
};

}  // namespace

constinit const KernelSet kNeonSet = {
    .name = "neon",
    .required = kNeon,
    .formats = kFormats,
    .quantize_int8 = neon::quantize_int8,
    .refine_int8 = neon::refine_int8,
    .total_int8 = neon::total_int8,
    .dot_rows_f32 = neon::dot_rows_f32,
    .dot_rows_f16 = neon::dot_rows_f16,
    .dot_rows_bf16 = neon::dot_rows_bf16,
    .mix_rows_f32 = neon::mix_rows_f32,
    .mix_rows_f16 = neon::mix_rows_f16,
    .mix_rows_bf16 = neon::mix_rows_bf16,
    .attention_bf16 = {scalar::pack_queries_f32, scalar::attend_bf16},
    .attention_q8 = {scalar::pack_queries_f32, scalar::attend_q8},
    .q8_from_f32 = scalar::q8_from_f32,
    .rms_norm = neon::rms_norm,
    .scale = neon::scale,
    .add = neon::add,
    .multiply = neon::multiply,
    .axpy = neon::axpy,
    .scale_axpy = neon::scale_axpy,
    .gated_activation = neon::gated_activation,
    .sigmoid_multiply = neon::sigmoid_multiply,
    .exp = neon::exp,
    .silu = neon::silu,
    .soft_cap = neon::soft_cap,
    .softmax = neon::softmax,
    .rope_half_split = neon::rope_half_split,
    .rope_interleaved = neon::rope_interleaved,
    .argmax = neon::argmax,
    .f32_from_bf16 = neon::f32_from_bf16,
    .f32_from_f16 = neon::f32_from_f16,
    .bf16_from_f32 = neon::bf16_from_f32,
    .f16_from_f32 = neon::f16_from_f32,
};

}  // namespace mach
