// Rows of floats, one per token of the pass: the shape of every intermediate value. A view, row-major, dense.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace mach {

struct FloatRows {
  float* data = nullptr;
  uint32_t count = 0;
  uint32_t dim = 0;

  float* row(size_t i) const noexcept { return data + i * dim; }
  std::span<float> span() const noexcept { return {data, size_t{count} * dim}; }
  std::span<float> row_span(size_t i) const noexcept { return {row(i), dim}; }
  FloatRows slice(uint32_t first, uint32_t rows) const noexcept { return {row(first), rows, dim}; }
};

}  // namespace mach
