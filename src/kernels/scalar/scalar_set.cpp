#include "kernels/kernel_set_rows.h"
#include "kernels/scalar/scalar_kernels.h"

namespace mach {
namespace {

using scalar::decode_row;
using scalar::int8_panels;
using scalar::int8_rows;

constexpr kernel::FormatKernels kFormats[] = {
    {CodecId::kF32, 32, decode_row, nullptr, nullptr, nullptr},
    {CodecId::kF16, 16, decode_row, nullptr, nullptr, nullptr},
    {CodecId::kBF16, 16, decode_row, nullptr, nullptr, nullptr},
    {CodecId::kAffine, 2, decode_row, nullptr, int8_rows, int8_panels},
    {CodecId::kAffine, 3, decode_row, nullptr, int8_rows, nullptr},
    {CodecId::kAffine, 4, decode_row, nullptr, int8_rows, int8_panels},
    {CodecId::kAffine, 5, decode_row, nullptr, int8_rows, nullptr},
    {CodecId::kAffine, 6, decode_row, nullptr, int8_rows, nullptr},
    {CodecId::kAffine, 8, decode_row, nullptr, int8_rows, int8_panels},
    {CodecId::kMxFp4, 4, decode_row, nullptr, int8_rows, int8_panels},
    {CodecId::kMxFp8, 8, decode_row, nullptr, nullptr, nullptr},
    {CodecId::kNvFp4, 4, decode_row, nullptr, int8_rows, int8_panels},
    {CodecId::kFp8Block, 8, decode_row, nullptr, nullptr, nullptr},
};

}  // namespace

constinit const KernelSet kScalarSet = {
    .name = "scalar",
    .required = kNoFeatures,
    .formats = kFormats,
    .quantize_int8 = scalar::quantize_int8,
    .refine_int8 = scalar::refine_int8,
    .total_int8 = scalar::total_int8,
    .dot_rows_f32 = scalar::dot_rows_f32,
    .dot_rows_f16 = scalar::dot_rows_f16,
    .dot_rows_bf16 = scalar::dot_rows_bf16,
    .mix_rows_f32 = scalar::mix_rows_f32,
    .mix_rows_f16 = scalar::mix_rows_f16,
    .mix_rows_bf16 = scalar::mix_rows_bf16,
    .attention_bf16 = {scalar::pack_queries_f32, scalar::attend_bf16},
    .attention_q8 = {scalar::pack_queries_f32, scalar::attend_q8},
    .q8_from_f32 = scalar::q8_from_f32,
    .rms_norm = scalar::rms_norm,
    .scale = scalar::scale,
    .add = scalar::add,
    .multiply = scalar::multiply,
    .axpy = scalar::axpy,
    .scale_axpy = scalar::scale_axpy,
    .gated_activation = scalar::gated_activation,
    .sigmoid_multiply = scalar::sigmoid_multiply,
    .exp = scalar::exp,
    .silu = scalar::silu,
    .soft_cap = scalar::soft_cap,
    .softmax = scalar::softmax,
    .rope_half_split = scalar::rope_half_split,
    .rope_interleaved = scalar::rope_interleaved,
    .argmax = scalar::argmax,
    .f32_from_bf16 = scalar::f32_from_bf16,
    .f32_from_f16 = scalar::f32_from_f16,
    .bf16_from_f32 = scalar::bf16_from_f32,
    .f16_from_f32 = scalar::f16_from_f32,
};

}  // namespace mach
