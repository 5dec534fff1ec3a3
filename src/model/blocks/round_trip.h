// Quantisation-aware round trips: values are rounded to what a low-bit format can hold and come back as fp32. DeepSeek V4
// was trained with them; its official implementation makes them at run time. In place. Source: DeepSeek-V4 inference code
// (kernel.py), blocks and scale rules as described there.
#pragma once

#include <cstdint>
#include <span>

namespace mach {

// Per block of `block` values (the last may be shorter): scale = 2^ceil(log2(max(amax, 1e-4) / 448)), E4M3 codes.
void fp8_round_trip(std::span<float> values, uint32_t block) noexcept;

// Per block of 32: scale = 2^ceil(log2(amax / 6)), E2M1 codes. A block of zeros stays.
void fp4_round_trip(std::span<float> values) noexcept;

// Walsh-Hadamard transform times 1 / sqrt(n). n is a power of two; other lengths are left as they are.
void hadamard(std::span<float> values) noexcept;

}  // namespace mach
