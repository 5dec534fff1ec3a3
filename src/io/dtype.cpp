#include "io/dtype.h"

#include <array>
#include <cstddef>

namespace mach {
namespace {

constexpr std::array kRows = {
    DTypeRow{DType::kBool, "BOOL", 8},
    DTypeRow{DType::kU8, "U8", 8},
    DTypeRow{DType::kI8, "I8", 8},
    DTypeRow{DType::kU16, "U16", 16},
    DTypeRow{DType::kI16, "I16", 16},
    DTypeRow{DType::kF16, "F16", 16},
    DTypeRow{DType::kBF16, "BF16", 16},
    DTypeRow{DType::kU32, "U32", 32},
    DTypeRow{DType::kI32, "I32", 32},
    DTypeRow{DType::kF32, "F32", 32},
    DTypeRow{DType::kU64, "U64", 64},
    DTypeRow{DType::kI64, "I64", 64},
    DTypeRow{DType::kF64, "F64", 64},
    DTypeRow{DType::kC64, "C64", 64},
    DTypeRow{DType::kF8E4M3, "F8_E4M3", 8},
    DTypeRow{DType::kF8E5M2, "F8_E5M2", 8},
    DTypeRow{DType::kF8E8M0, "F8_E8M0", 8},
    DTypeRow{DType::kF8E4M3Fnuz, "F8_E4M3FNUZ", 8},
    DTypeRow{DType::kF8E5M2Fnuz, "F8_E5M2FNUZ", 8},
    DTypeRow{DType::kF4, "F4", 4},
    DTypeRow{DType::kF6E2M3, "F6_E2M3", 6},
    DTypeRow{DType::kF6E3M2, "F6_E3M2", 6},
    DTypeRow{DType::kUnknown, "unknown", 0},
};

constexpr bool in_enum_order() {
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<size_t>(kRows[i].dtype) != i) return false;
  }
  return kRows.size() == static_cast<size_t>(DType::kUnknown) + 1;
}
static_assert(in_enum_order());

}  // namespace

std::span<const DTypeRow> dtype_rows() noexcept { return kRows; }

const DTypeRow& dtype_row(DType dtype) noexcept { return kRows[static_cast<size_t>(dtype)]; }

DType find_dtype(std::string_view name) noexcept {
  for (const DTypeRow& row : kRows) {
    if (row.name == name) return row.dtype;  // a file that says "unknown" gets kUnknown too
  }
  return DType::kUnknown;
}

}  // namespace mach
