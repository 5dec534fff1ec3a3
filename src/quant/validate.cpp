#include "quant/validate.h"

#include <algorithm>
#include <cmath>

#include "mach/error.h"

#include "base/half.h"
#include "quant/codec.h"

namespace mach {
namespace {

// A field holds no number when (bits & mask) == mask: all exponent bits of a float, all bits of E8M0, all but the sign of
// E4M3.
template <class T>
bool has_bad(const std::byte* p, uint64_t count, T mask) noexcept {
  constexpr uint64_t kBlock = 4096;  // long enough to vectorise, short enough to stop early
  for (uint64_t begin = 0; begin < count; begin += kBlock) {
    const uint64_t end = std::min(count, begin + kBlock);
    T bad = 0;
    for (uint64_t i = begin; i < end; ++i) {
      const T bits = load_unaligned<T>(p + i * sizeof(T));
      bad = static_cast<T>(bad | static_cast<T>((bits & mask) == mask ? 1 : 0));
    }
    if (bad != 0) return true;
  }
  return false;
}

template <class T>
uint64_t first_bad(const std::byte* p, T mask) noexcept {
  uint64_t i = 0;
  while ((load_unaligned<T>(p + i * sizeof(T)) & mask) != mask) ++i;
  return i;
}

template <class T>
std::optional<BadNumber> scan(const Plane& plane, uint64_t rows, uint64_t count, T mask,
                              BadNumber::Plane name) noexcept {
  for (uint64_t r = 0; r < rows; ++r) {
    const std::byte* row = plane.data + r * plane.row_stride;
    if (has_bad<T>(row, count, mask)) return BadNumber{name, r, first_bad<T>(row, mask)};
  }
  return std::nullopt;
}

std::optional<BadNumber> scan(ScaleType type, const Plane& plane, uint64_t rows, uint64_t count,
                              BadNumber::Plane name) noexcept {
  switch (type) {
    case ScaleType::kNone:
      return std::nullopt;
    case ScaleType::kF32:
      return scan<uint32_t>(plane, rows, count, 0x7f800000U, name);
    case ScaleType::kF16:
      return scan<uint16_t>(plane, rows, count, 0x7c00U, name);
    case ScaleType::kBF16:
      return scan<uint16_t>(plane, rows, count, 0x7f80U, name);
    case ScaleType::kE8M0:
      return scan<uint8_t>(plane, rows, count, 0xffU, name);
    case ScaleType::kE4M3:
      return scan<uint8_t>(plane, rows, count, 0x7fU, name);
  }
  return std::nullopt;
}

// The type whose rule for "no number" the codes follow.
ScaleType code_type(CodecId codec) noexcept {
  switch (codec) {
    case CodecId::kF32:
      return ScaleType::kF32;
    case CodecId::kF16:
      return ScaleType::kF16;
    case CodecId::kBF16:
      return ScaleType::kBF16;
    case CodecId::kMxFp8:
    case CodecId::kFp8Block:
      return ScaleType::kE4M3;
    case CodecId::kAffine:
    case CodecId::kMxFp4:
    case CodecId::kNvFp4:
      break;
  }
  return ScaleType::kNone;
}

// E2M1 codes 0 and 8 are zeros.
bool all_codes_zero(const WeightMatrix& weight) noexcept {
  const uint8_t magnitude = weight.format.bits == 4 ? 0x77U : 0xffU;
  for (uint32_t r = 0; r < weight.rows; ++r) {
    const std::byte* row = weight.codes.row(r);
    const bool zero = std::all_of(row, row + row_bytes(weight.format, weight.cols),
                                  [&](std::byte b) { return (static_cast<uint8_t>(b) & magnitude) == 0; });
    if (!zero) return false;
  }
  return true;
}

std::string describe(const BadNumber& bad) {
  switch (bad.plane) {
    case BadNumber::Plane::kCodes:
      return "weight [" + std::to_string(bad.row) + ", " + std::to_string(bad.index) + ']';
    case BadNumber::Plane::kScales:
      return "scale [" + std::to_string(bad.row) + ", " + std::to_string(bad.index) + ']';
    case BadNumber::Plane::kBiases:
      return "bias [" + std::to_string(bad.row) + ", " + std::to_string(bad.index) + ']';
    case BadNumber::Plane::kGlobalScale:
      break;
  }
  return "its global scale";
}

}  // namespace

std::optional<BadNumber> check_scales(const WeightMatrix& weight) noexcept {
  const WeightFormat& format = weight.format;
  const uint64_t rows = scale_rows(format, weight.rows);
  const uint64_t count = scales_per_row(format, weight.cols);
  if (auto bad = scan(format.scale, weight.scales, rows, count, BadNumber::Plane::kScales)) return bad;
  if (codec_row(format.codec).biases) {
    if (auto bad = scan(format.scale, weight.biases, rows, count, BadNumber::Plane::kBiases)) return bad;
  }
  const bool usable =
      std::isfinite(weight.global_scale) && (weight.global_scale != 0.0F || all_codes_zero(weight));
  if (!usable) return BadNumber{BadNumber::Plane::kGlobalScale, 0, 0};
  return std::nullopt;
}

std::optional<BadNumber> check_codes(const WeightMatrix& weight) noexcept {
  return scan(code_type(weight.format.codec), weight.codes, weight.rows, weight.cols,
              BadNumber::Plane::kCodes);
}

void check_numbers(const WeightMatrix& weight, std::string_view what) {
  std::optional<BadNumber> bad = check_scales(weight);
  if (!bad) bad = check_codes(weight);
  if (!bad) return;
  const bool zero = bad->plane == BadNumber::Plane::kGlobalScale && weight.global_scale == 0.0F;
  throw Error(ErrorCode::kCorruptFile,
              std::string(what) + " (" + format_name(weight.format) + "): " + describe(*bad) +
                  (zero ? " is zero although its codes are not" : " is not a finite number"));
}

}  // namespace mach
