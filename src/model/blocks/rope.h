// Rotary positions. A Rope holds the frequencies of one RopeConfig; tables() makes cos and sin of the rows of a
// pass, once per pass, and rotate() applies a row of them to one head. Angles are float(position) * inv_freq in
// fp32 (the reference's rounding at long contexts depends on it); cos and sin include the attention factor.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "arch/rope_config.h"
#include "kernels/kernel_set.h"
#include "model/float_rows.h"

namespace mach {

class Workspace;

struct RopeTables {
  FloatRows cos, sin;                    // [rows, pairs]
  uint32_t first_dim = 0;                // of the rotary block in a head
  kernel::Rope* rotate_pairs = nullptr;  // half split or interleaved

  // Rotates one head in place, at the position of `row`.
  void rotate(uint32_t row, float* head) const noexcept {
    rotate_pairs(cos.row(row), sin.row(row), cos.dim, head + first_dim);
  }
};

class Rope {
 public:
  explicit Rope(const RopeConfig& config);

  // One row per position. Lives in the arena's current frame. `inverse` turns back (sin negated).
  RopeTables tables(Workspace& workspace, std::span<const uint32_t> positions, bool inverse = false) const;

 private:
  RopeConfig config_;
  std::vector<float> inverse_frequencies_;
};

}  // namespace mach
