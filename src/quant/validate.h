// Checks of the stored numbers of a weight matrix, for files that nobody vouches for: run once when a tensor is loaded or
// converted, at about the speed of memory. Pure functions, thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "quant/weight.h"

namespace mach {

struct BadNumber {
  enum class Plane : uint8_t { kCodes, kScales, kBiases, kGlobalScale };
  Plane plane;
  uint64_t row;    // of that plane (a block row for kFp8Block scales)
  uint64_t index;  // within the row
};

// The first scale or bias that is not a finite number: NaN or infinity in f32, f16 or bf16, 0xFF in E8M0, 0x7F or 0xFF in
// E4M3. Also a global scale that is not finite, or is zero although codes are not (it occurs for experts that saw no
// calibration data; only an all-zero matrix may have it).
std::optional<BadNumber> check_scales(const WeightMatrix& weight) noexcept;

// The first code that stands for no number: only E4M3 (kMxFp8, kFp8Block) and plain floats have such. Reads all codes.
std::optional<BadNumber> check_codes(const WeightMatrix& weight) noexcept;

// Throws Error{kCorruptFile} naming the tensor and the place, unless both checks pass.
void check_numbers(const WeightMatrix& weight, std::string_view what);

}  // namespace mach
