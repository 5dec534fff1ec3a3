// The element types of safetensors, one row each: name in the file and bits per element. A name that is not in the
// table is kUnknown: such a tensor may lie in a file, and is refused only when it is asked for.
// Source: safetensors format text (huggingface/safetensors, 2026-05).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace mach {

enum class DType : uint8_t {
  kBool,
  kU8,
  kI8,
  kU16,
  kI16,
  kF16,
  kBF16,
  kU32,
  kI32,
  kF32,
  kU64,
  kI64,
  kF64,
  kC64,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kF4,
  kF6E2M3,
  kF6E3M2,
  kUnknown,
};

struct DTypeRow {
  DType dtype;
  std::string_view name;
  uint8_t bits;  // of one element; 0 for kUnknown
};

std::span<const DTypeRow> dtype_rows() noexcept;  // in enum order, kUnknown last
const DTypeRow& dtype_row(DType dtype) noexcept;
DType find_dtype(std::string_view name) noexcept;  // kUnknown for a name not in the table

}  // namespace mach
