// How kernels walk a matrix in panel order (quant/panel_layout.h). Internal linkage throughout, because the files that
// include this are compiled for different instruction sets; the layout itself is computed by the caller of a kernel.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/panel_layout.h"
#include "quant/weight.h"

namespace mach {
namespace {

// The part of a panel that begins with input first_col: where its scales, biases and codes lie in the panel.
struct StripeWalk {
  uint32_t first_col, cols;  // cols: inputs that exist
  uint32_t first_group;
  size_t scales, biases, codes;
};

inline uint32_t stripes_of(const PanelLayout& layout, uint32_t cols) noexcept {
  return (cols + layout.stripe_cols - 1) / layout.stripe_cols;
}

inline StripeWalk stripe_of(const PanelLayout& layout, uint32_t group, uint32_t cols,
                            uint32_t index) noexcept {
  StripeWalk walk{};
  walk.first_col = index * layout.stripe_cols;
  const uint32_t left = cols - walk.first_col;
  walk.cols = left < layout.stripe_cols ? left : layout.stripe_cols;
  walk.first_group = walk.first_col / group;
  const size_t plane = size_t{(walk.cols + group - 1) / group} * layout.group_bytes;
  walk.scales = size_t{index} * layout.stripe_bytes;
  walk.biases = walk.scales + plane;
  walk.codes = walk.scales + (layout.planes * plane + kPanelLine - 1) / kPanelLine * kPanelLine;
  return walk;
}

}  // namespace
}  // namespace mach
