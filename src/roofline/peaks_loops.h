// The loops, written with the compiler's vector types of Bytes bytes, for files that name their instruction set by flags.
// Internal linkage: each such file gets its own copy.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mach::roofline {
namespace {

// Reads with four independent sums of Vector.
template <class Vector>
uint64_t read_all(const std::byte* data, size_t bytes) {
  Vector sums[4] = {};
  for (size_t i = 0; i < bytes; i += 4 * sizeof(Vector)) {
    const auto* at = reinterpret_cast<const Vector*>(data + i);
    for (size_t k = 0; k < 4; ++k) sums[k] += at[k];
  }
  const Vector sum = sums[0] + sums[1] + sums[2] + sums[3];
  uint64_t total = 0;
  for (size_t k = 0; k < sizeof(Vector) / sizeof(uint64_t); ++k) total += sum[k];
  return total;
}

}  // namespace
}  // namespace mach::roofline
