// Kernels for x86-64 with AVX-512 and its bf16 dot product (vdpbf16ps). The files of this folder are compiled with those
// flags; everything in them has internal linkage or this namespace, and they call no inline function of a header that
// generic code includes too. The rest of the set's rows are avx512's.
#pragma once

#include "kernels/attention_types.h"
#include "kernels/kernel_types.h"

namespace mach::avx512bf16 {

kernel::PackQueries pack_queries_bf16, pack_queries_q8;
kernel::Attend attend_bf16, attend_q8;
kernel::ToQ8 q8_from_f32;

kernel::Bf16Rows multiply_bf16;

}  // namespace mach::avx512bf16
