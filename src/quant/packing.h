// From rows order to panel order and back, and matrices as one contiguous block of bytes in either order: what an expert
// record, an arena or a loaded matrix holds. The bytes of panel order are described in panel_layout.h; rows order as a
// block is codes, then scales, then biases, densely packed.
//
// In fast mode every format is held in fast_order(); in exact mode all are held in rows order, whose kernels read codes in
// the fixed order of sums. reorder() goes both ways without loss: rows -> panels -> rows gives the same bits.
//
// Pure functions, thread-safe. They move bytes at some GB/s a core.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "quant/panel_layout.h"
#include "quant/weight.h"

namespace mach {

inline constexpr size_t kPackedAlignment = 64;  // of a block in panel order (one cache line)

// The order that the kernels of fast mode want: panels for affine 2-, 4- and 8-bit, MXFP4 and NVFP4; rows for everything
// else. (E4M3 has a panel order too, and no kernels for it yet.)
constexpr WeightOrder fast_order(const WeightFormat& format) noexcept {
  return has_panel_order(format) && !panel_pairs(format.codec) ? WeightOrder::kPanels : WeightOrder::kRows;
}

constexpr uint32_t panel_count(uint32_t rows) noexcept {
  return static_cast<uint32_t>(ceil_div(rows, kPanelRows));
}

// Bytes of a matrix as one block. kPanels only for a format with has_panel_order(). A multiple of 64 in panel order.
uint64_t ordered_bytes(WeightOrder order, const WeightFormat& format, uint32_t rows, uint32_t cols) noexcept;

// A block of ordered_bytes() as a matrix. Panels begin at a multiple of kPackedAlignment; the view does not own the bytes.
WeightMatrix ordered_view(WeightOrder order, const WeightFormat& format, uint32_t rows, uint32_t cols,
                          const std::byte* block, float global_scale = 1.0F) noexcept;

// Writes `source`, which is in either order, to a block in `order`. `out` has ordered_bytes(order, ...) bytes, all of which
// are written; it does not overlap the source. Throws Error{kInternal} where the size is another or the format has no panels.
void reorder(const WeightMatrix& source, WeightOrder order, std::span<std::byte> out);

// The same for panels [first, last) of a matrix in rows order, for several threads to share. `out` is the whole block.
void pack_panels(const WeightMatrix& source, uint32_t first, uint32_t last, std::span<std::byte> out);

// Panel `panel` of a matrix in panel order as a matrix of up to 16 rows in rows order, written to `block`, which has at least
// ordered_bytes(kRows, panel_format(format), 16, cols) bytes: for kernels that know rows only. Every row has scales of its own.
WeightMatrix unpack_panel(const WeightMatrix& weight, uint32_t panel, std::byte* block) noexcept;
constexpr WeightFormat panel_format(WeightFormat format) noexcept {
  format.block_rows = 1;
  return format;
}

// The codes and scales of one block of 32 inputs of a row of a matrix in panel order, for decoding: codes [32], zeros past
// the last input.
void load_panel_codes(const WeightMatrix& weight, uint32_t row, uint32_t block,
                      std::span<uint8_t, 32> codes) noexcept;
struct PanelScale {
  float scale, bias;  // bias 0 where the codec has none
};
PanelScale load_panel_scale(const WeightMatrix& weight, uint32_t row, uint32_t group) noexcept;

}  // namespace mach
