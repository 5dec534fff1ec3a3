// Encoding of fp32 rows: the other direction of decode.h, for conversion tools, tests and benchmarks; scalar and unhurried.
// Pure functions. Inputs must be finite.
//
// Sources: MLX's quantisers (affine, mxfp4, mxfp8, nvfp4), transformers' fine-grained fp8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/aligned_buffer.h"
#include "quant/weight.h"

namespace mach {

enum class AffineRule : uint8_t {
  kRoundScaleFirst,  // codes are chosen for the scale and bias as stored: error at most about half a step
  kMlx,  // codes are chosen for the unrounded scale, as MLX does: with bf16 scales up to 0.9 of a step
};

// Encodes rows [0, block_rows) of a row-major block, which share a row of scales (one row except for kFp8Block; the last
// block of a matrix may be shorter). codes: row_bytes(format, cols) bytes per row, back to back; scales and biases:
// scale_row_bytes(format, cols). The format must have passed check_format.
//
// `global_scale` divides every weight first (kNvFp4; 1 elsewhere).
struct EncodedBlock {
  std::byte* codes;
  std::byte* scales;
  std::byte* biases;
};
void encode_block(const WeightFormat& format, std::span<const float> block, uint32_t cols,
                  const EncodedBlock& out, float global_scale = 1.0F,
                  AffineRule rule = AffineRule::kRoundScaleFirst);

// A matrix that owns its planes, densely packed: codes, then scales, then biases. All zero at first.
class EncodedMatrix {
 public:
  EncodedMatrix(const WeightFormat& format, uint32_t rows, uint32_t cols);
  const WeightMatrix& view() const noexcept { return view_; }
  std::span<const std::byte> bytes() const noexcept { return buffer_.bytes(); }

  // Where the rows that begin with `row`, and their scales, are written.
  EncodedBlock block(uint32_t row) noexcept;
  void set_global_scale(float scale) noexcept { view_.global_scale = scale; }

 private:
  AlignedBuffer buffer_;
  WeightMatrix view_;
};

// values [rows][cols]. Throws Error{kUnsupported, kCorruptFile} for a format that does not fit cols, kInternal where
// values is not rows * cols long.
EncodedMatrix encode_matrix(const WeightFormat& format, std::span<const float> values, uint32_t cols,
                            float global_scale = 1.0F, AffineRule rule = AffineRule::kRoundScaleFirst);

}  // namespace mach
