// How a row of a sequence's memory (a key, a value, a latent row) is stored: which kinds there are, how long a row is, and
// what users call them. Kernels of the 8-bit kind: kernels/attention_types.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace mach {

enum class KvElement : uint8_t {
  kF32,
  kBF16,
  kQ8,  // one byte per number and an fp32 scale per row
};

// An 8-bit row: n codes, value = (code - 128) * scale, then the scale as fp32. Layout: ours.
constexpr size_t q8_row_bytes(uint32_t n) noexcept { return size_t{n} + sizeof(float); }

// A row of n numbers.
constexpr size_t kv_row_bytes(KvElement element, uint32_t n) noexcept {
  switch (element) {
    case KvElement::kF32:
      return size_t{n} * 4;
    case KvElement::kBF16:
      return size_t{n} * 2;
    case KvElement::kQ8:
      return q8_row_bytes(n);
  }
  return 0;
}

// Rows of 8 bits are read by kernels that take this many numbers at a time; others are kept in bf16.
inline constexpr uint32_t kQ8Multiple = 32;
constexpr KvElement fitting_kv_element(KvElement wanted, uint32_t n) noexcept {
  return wanted == KvElement::kQ8 && n % kQ8Multiple != 0 ? KvElement::kBF16 : wanted;
}

// "bf16", "q8"; fp32 is not a choice of users (exact mode brings it).
constexpr std::optional<KvElement> kv_element_named(std::string_view name) noexcept {
  if (name == "bf16") return KvElement::kBF16;
  if (name == "q8") return KvElement::kQ8;
  return std::nullopt;
}

}  // namespace mach
