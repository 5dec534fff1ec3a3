// How a weight matrix lies in memory, for every codec mach reads. A matrix is a view: it owns nothing, and its planes
// point into a mapped file, an expert record or an arena. Planes may start at any byte (MLX files align nothing), so
// every reader uses unaligned loads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mach {

enum class CodecId : uint8_t {
  kF32,
  kF16,
  kBF16,
  kAffine,    // MLX affine, w = scale * q + bias; bits 2, 3, 4, 5, 6, 8; group 32, 64, 128
  kMxFp4,     // E2M1 codes, one E8M0 scale per 32 inputs
  kMxFp8,     // E4M3 codes, one E8M0 scale per 32 inputs
  kNvFp4,     // E2M1 codes, one E4M3 scale per 16 inputs, one fp32 scale per matrix
  kFp8Block,  // E4M3 codes, one scale per block_rows x group block
};

enum class ScaleType : uint8_t { kNone, kF32, kF16, kBF16, kE8M0, kE4M3 };

// The parameters of a codec as one matrix uses it. Equal formats can share kernels and record layouts.
struct WeightFormat {
  CodecId codec = CodecId::kF32;
  ScaleType scale = ScaleType::kNone;
  uint8_t bits = 32;        // of one code
  uint16_t group = 0;       // inputs (columns) that share a scale; 0 where the codec has none
  uint16_t block_rows = 1;  // outputs (rows) that share a scale; above 1 only for kFp8Block
  bool operator==(const WeightFormat&) const = default;
};

// How the codes and scales of a matrix are arranged. Rows order is that of checkpoints: row after row, planes apart. Panel
// order is a permutation of the same bits for integer and bf16 dot products (quant/packing.h): 16 rows share a panel, one
// contiguous stream of codes with their scales. Both decode to the same values.
enum class WeightOrder : uint8_t { kRows, kPanels };

// Rows of bytes at a fixed distance. A stride larger than a row lets a view pick every other row (gpt-oss interleaves
// gate and up) without a copy. For kFp8Block scales the row is a block row.
struct Plane {
  const std::byte* data = nullptr;
  uint64_t row_stride = 0;  // bytes
  const std::byte* row(uint64_t r) const noexcept { return data + r * row_stride; }
};

// y = W x with W [rows, cols], rows = outputs, cols = inputs (the contiguous direction). In panel order `codes` holds whole
// panels, one per row of the plane, and the other planes are absent.
struct WeightMatrix {
  WeightFormat format;
  WeightOrder order = WeightOrder::kRows;
  uint32_t rows = 0;
  uint32_t cols = 0;
  Plane codes;
  Plane scales;               // absent for kF32, kF16, kBF16, and in panel order
  Plane biases;               // kAffine in rows order only, same type and shape as scales
  float global_scale = 1.0F;  // multiplies every weight; kNvFp4 checkpoints with a per-tensor scale
};

}  // namespace mach
