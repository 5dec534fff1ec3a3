#include "quant/validate.h"

#include <algorithm>
#include <cmath>

#include "mach/error.h"

#include "base/half.h"
#include "quant/codec.h"
#include "quant/packing.h"
#include "quant/small_floats.h"

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

// Of a scale as load_scale gives it, which makes 480 of the NaN of E4M3 and infinity of that of E8M0.
bool is_number(ScaleType type, float scale) noexcept {
  return std::isfinite(scale) && (type != ScaleType::kE4M3 || std::fabs(scale) < 480.0F);
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

std::optional<BadNumber> check_row_scales(const WeightMatrix& weight) noexcept {
  const WeightFormat& format = weight.format;
  const uint64_t rows = scale_rows(format, weight.rows);
  const uint64_t count = scales_per_row(format, weight.cols);
  if (auto bad = scan(format.scale, weight.scales, rows, count, BadNumber::Plane::kScales)) return bad;
  if (!codec_row(format.codec).biases) return std::nullopt;
  return scan(format.scale, weight.biases, rows, count, BadNumber::Plane::kBiases);
}

// Of a matrix in panel order: rows and columns one by one, since such blocks are checked when they are converted, not often.
bool panel_codes_zero(const WeightMatrix& weight) noexcept {
  const uint8_t magnitude = weight.format.bits == 4 ? 0x07U : 0xffU;
  uint8_t codes[kPanelBlockCols];
  for (uint32_t r = 0; r < weight.rows; ++r) {
    for (uint32_t block = 0; block * kPanelBlockCols < weight.cols; ++block) {
      load_panel_codes(weight, r, block, codes);
      if (std::any_of(std::begin(codes), std::end(codes), [&](uint8_t c) { return (c & magnitude) != 0; })) {
        return false;
      }
    }
  }
  return true;
}

std::optional<BadNumber> check_panel_scales(const WeightMatrix& weight) noexcept {
  for (uint32_t r = 0; r < weight.rows; ++r) {
    for (uint32_t g = 0; g < scales_per_row(weight.format, weight.cols); ++g) {
      const PanelScale scale = load_panel_scale(weight, r, g);
      const uint64_t row = scale_row(weight.format, r);
      if (!is_number(weight.format.scale, scale.scale)) return BadNumber{BadNumber::Plane::kScales, row, g};
      if (!std::isfinite(scale.bias)) return BadNumber{BadNumber::Plane::kBiases, row, g};
    }
  }
  return std::nullopt;
}

std::optional<BadNumber> check_panel_codes(const WeightMatrix& weight) noexcept {
  if (code_type(weight.format.codec) != ScaleType::kE4M3) return std::nullopt;
  uint8_t codes[kPanelBlockCols];
  for (uint32_t r = 0; r < weight.rows; ++r) {
    for (uint32_t block = 0; block * kPanelBlockCols < weight.cols; ++block) {
      load_panel_codes(weight, r, block, codes);
      const auto* bad = std::find_if(std::begin(codes), std::end(codes), e4m3_is_nan);
      if (bad != std::end(codes)) {
        const auto col = block * kPanelBlockCols + static_cast<uint32_t>(bad - codes);
        return BadNumber{BadNumber::Plane::kCodes, r, col};
      }
    }
  }
  return std::nullopt;
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
  const bool panels = weight.order == WeightOrder::kPanels;
  if (auto bad = panels ? check_panel_scales(weight) : check_row_scales(weight)) return bad;
  const auto codes_zero = [&] { return panels ? panel_codes_zero(weight) : all_codes_zero(weight); };
  const bool usable = std::isfinite(weight.global_scale) && (weight.global_scale != 0.0F || codes_zero());
  if (!usable) return BadNumber{BadNumber::Plane::kGlobalScale, 0, 0};
  return std::nullopt;
}

std::optional<BadNumber> check_codes(const WeightMatrix& weight) noexcept {
  if (weight.order == WeightOrder::kPanels) return check_panel_codes(weight);
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
