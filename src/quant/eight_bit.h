// Rows of plain floats as 8-bit affine panels: the form in which fast mode holds the bf16 matrices of a checkpoint whose experts
// are quantised (arch/held_weights.h). Half the bytes of bf16, which is what decode waits for.
//
// A group of 64 inputs gets the scale (max - min) / 255 and the bias min, both bf16, the scale rounded up and the bias down, so
// that the codes 0 ... 255 cover the group: no weight is off by more than half a scale. For normally distributed weights that is
// 0.5 % of their standard deviation (root mean square).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "quant/weight.h"

namespace mach {

inline constexpr WeightFormat kEightBit{
    .codec = CodecId::kAffine, .scale = ScaleType::kBF16, .bits = 8, .group = 64, .block_rows = 1};

// Rows of floats whose groups are whole.
constexpr bool can_be_eight_bit(const WeightFormat& format, uint32_t cols) noexcept {
  return format.scale == ScaleType::kNone && cols != 0 && cols % kEightBit.group == 0;
}

// Writes panels [first, last) of `source`, rows of finite floats for which can_be_eight_bit() holds. `out` is the whole block of
// ordered_bytes(kPanels, kEightBit, ...) bytes. Threads may share a matrix. Throws Error{kInternal} where sizes do not fit.
void encode_eight_bit_panels(const WeightMatrix& source, uint32_t first, uint32_t last,
                             std::span<std::byte> out);

}  // namespace mach
