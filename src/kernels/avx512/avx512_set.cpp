#include <array>

#include "kernels/avx2/avx2_kernels.h"
#include "kernels/avx512/avx512_kernels.h"
#include "kernels/avx512bf16/avx512bf16_kernels.h"
#include "kernels/kernel_set_rows.h"

namespace mach {
namespace {

constexpr std::array kFormats = std::to_array<kernel::FormatKernels>({
    {CodecId::kF32, 32, avx512::decode_f32, nullptr, nullptr, nullptr},
    {CodecId::kF16, 16, avx512::decode_f16, nullptr, nullptr, nullptr},
    {CodecId::kBF16, 16, avx512::decode_bf16, nullptr, nullptr, nullptr},
    {CodecId::kAffine, 2, avx512::decode_affine2, avx512::dot_one_affine2, avx512::int8_affine2,
     avx512::panels_affine2},
    {CodecId::kAffine, 3, avx512::decode_affine3, avx512::dot_one_affine3, avx512::int8_affine3, nullptr},
    {CodecId::kAffine, 4, avx512::decode_affine4, avx512::dot_one_affine4, avx512::int8_affine4,
     avx512::panels_affine4},
    {CodecId::kAffine, 5, avx512::decode_affine5, avx512::dot_one_affine5, avx512::int8_affine5, nullptr},
    {CodecId::kAffine, 6, avx512::decode_affine6, avx512::dot_one_affine6, avx512::int8_affine6, nullptr},
    {CodecId::kAffine, 8, avx512::decode_affine8, avx512::dot_one_affine8, avx512::int8_affine8,
     avx512::panels_affine8},
    {CodecId::kMxFp4, 4, avx512::decode_mxfp4, avx512::dot_one_mxfp4, avx512::int8_mxfp4,
     avx512::panels_mxfp4},
    {CodecId::kMxFp8, 8, avx512::decode_fp8, avx512::dot_one_fp8, nullptr, nullptr},
    {CodecId::kNvFp4, 4, avx512::decode_nvfp4, nullptr, avx512::int8_nvfp4, avx512::panels_nvfp4},
    {CodecId::kFp8Block, 8, avx512::decode_fp8, avx512::dot_one_fp8, nullptr, nullptr},
});

// The same where bf16 is multiplied as it is.
constexpr auto kBf16Formats = [] {
  auto formats = kFormats;
  for (kernel::FormatKernels& format : formats) {
    if (format.codec == CodecId::kBF16) format.bf16_rows = avx512bf16::multiply_bf16;
  }
  return formats;
}();

constexpr KernelSet kRows = {
    .name = "avx512",
    .required = kAvx2 | kFma | kF16c | kAvx512f | kAvx512bw | kAvx512vl | kAvx512dq | kAvx512vnni,
    .formats = kFormats,
    .quantize_int8 = avx512::quantize_int8,
    .refine_int8 = avx512::refine_int8,
    .total_int8 = avx512::total_int8,
    .dot_rows_f32 = avx512::dot_rows_f32,
    .dot_rows_f16 = avx512::dot_rows_f16,
    .dot_rows_bf16 = avx512::dot_rows_bf16,
    .mix_rows_f32 = avx512::mix_rows_f32,
    .mix_rows_f16 = avx512::mix_rows_f16,
    .mix_rows_bf16 = avx512::mix_rows_bf16,
    .attention_bf16 = {avx2::pack_queries_f32, avx2::attend_bf16},
    .attention_q8 = {avx2::pack_queries_f32, avx2::attend_q8},
    .q8_from_f32 = avx2::q8_from_f32,
    .rms_norm = avx512::rms_norm,
    .scale = avx512::scale,
    .add = avx512::add,
    .multiply = avx512::multiply,
    .axpy = avx512::axpy,
    .scale_axpy = avx512::scale_axpy,
    .gated_activation = avx512::gated_activation,
    .sigmoid_multiply = avx512::sigmoid_multiply,
    .exp = avx512::exp,
    .silu = avx512::silu,
    .soft_cap = avx512::soft_cap,
    .softmax = avx512::softmax,
    .rope_half_split = avx512::rope_half_split,
    .rope_interleaved = avx512::rope_interleaved,
    .argmax = avx512::argmax,
    .f32_from_bf16 = avx512::f32_from_bf16,
    .f32_from_f16 = avx512::f32_from_f16,
    .bf16_from_f32 = avx512::bf16_from_f32,
    .f16_from_f32 = avx512::f16_from_f32,
};

// The same with the rows that multiply bf16.
constexpr KernelSet with_bf16(KernelSet set) {
  set.name = "avx512bf16";
  set.required = set.required | kAvx512bf16;
  set.formats = kBf16Formats;
  set.attention_bf16 = {avx512bf16::pack_queries_bf16, avx512bf16::attend_bf16};
  set.attention_q8 = {avx512bf16::pack_queries_q8, avx512bf16::attend_q8};
  set.q8_from_f32 = avx512bf16::q8_from_f32;
  return set;
}

}  // namespace

constinit const KernelSet kAvx512Set = kRows;
constinit const KernelSet kAvx512Bf16Set = with_bf16(kRows);

}  // namespace mach
