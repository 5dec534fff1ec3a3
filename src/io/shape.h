// The shape of a stored tensor: up to kMaxRank dimensions, outermost first, held in place. Rank 0 is a scalar.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>

#include "base/checked_math.h"

namespace mach {

class Shape {
 public:
  static constexpr size_t kMaxRank = 8;

  constexpr Shape() noexcept = default;
  // At most kMaxRank dimensions; further ones are not taken (callers that read files check first).
  constexpr Shape(std::initializer_list<uint64_t> dims) noexcept {
    for (const uint64_t dim : dims) push_back(dim);
  }

  constexpr bool push_back(uint64_t dim) noexcept {
    if (rank_ == kMaxRank) return false;
    dims_[rank_++] = dim;
    return true;
  }

  constexpr size_t rank() const noexcept { return rank_; }
  constexpr uint64_t operator[](size_t i) const noexcept { return dims_[i]; }
  constexpr std::span<const uint64_t> dims() const noexcept { return std::span(dims_).first(rank_); }
  // 1 for a scalar; empty when the product passes 2^64.
  constexpr std::optional<uint64_t> elements() const noexcept { return checked_product(dims()); }
  constexpr bool operator==(const Shape&) const noexcept = default;

 private:
  std::array<uint64_t, kMaxRank> dims_{};  // zero from rank_ on, so that == may compare all
  uint8_t rank_ = 0;
};

// "[4096, 256]"; "[]" for a scalar.
std::string to_string(const Shape& shape);

}  // namespace mach
