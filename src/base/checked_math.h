// Arithmetic on sizes that come from a file or a request: empty instead of a wrapped result.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace mach {

[[nodiscard]] constexpr std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) noexcept {
  uint64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

[[nodiscard]] constexpr std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) noexcept {
  uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

// The product of all factors; 1 for none. Every partial product is checked, also those before a zero.
[[nodiscard]] constexpr std::optional<uint64_t> checked_product(std::span<const uint64_t> factors) noexcept {
  uint64_t product = 1;
  for (const uint64_t factor : factors) {
    if (__builtin_mul_overflow(product, factor, &product)) return std::nullopt;
  }
  return product;
}

// The next multiple of `multiple` (a power of two) at or above n; empty when that passes 2^64.
[[nodiscard]] constexpr std::optional<uint64_t> checked_round_up(uint64_t n, uint64_t multiple) noexcept {
  const std::optional<uint64_t> raised = checked_add(n, multiple - 1);
  if (!raised) return std::nullopt;
  return *raised & ~(multiple - 1);
}

// The same for our own sizes, which cannot overflow.
[[nodiscard]] constexpr uint64_t round_up(uint64_t n, uint64_t multiple) noexcept {
  return (n + multiple - 1) & ~(multiple - 1);
}

[[nodiscard]] constexpr uint64_t ceil_div(uint64_t n, uint64_t divisor) noexcept {
  return n / divisor + (n % divisor != 0 ? 1 : 0);
}

}  // namespace mach
