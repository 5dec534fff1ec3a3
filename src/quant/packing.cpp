#include "quant/packing.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>

#include "mach/error.h"

#include "base/half.h"
#include "quant/decode.h"

namespace mach {
namespace {

constexpr uint32_t kBlock = kPanelBlockCols;

// A row's part of a block: one word of four bytes per line. Bits move within 64-bit words (little-endian, as all formats
// here), since this runs over whole checkpoints while they are loaded.
template <uint32_t Bits>
struct Quads {
  uint32_t line[Bits];
};

constexpr uint64_t kLowNibbles = 0x0f0f0f0f0f0f0f0fU;

// Bytes 0 ... 3 of x to bytes 0, 2, 4, 6; and back.
constexpr uint64_t spread_bytes(uint64_t x) noexcept {
  x = (x | x << 16) & 0x0000ffff0000ffffU;
  return (x | x << 8) & 0x00ff00ff00ff00ffU;
}
constexpr uint64_t gather_bytes(uint64_t x) noexcept {
  x &= 0x00ff00ff00ff00ffU;
  x = (x | x >> 8) & 0x0000ffff0000ffffU;
  return (x | x >> 16) & 0xffffffffU;
}

// Field k of byte f becomes field f of byte k, for four bytes of four 2-bit fields (its own inverse).
constexpr uint32_t transpose_pairs(uint32_t x) noexcept {
  const uint32_t near = (x ^ (x >> 6)) & 0x00cc00ccU;
  x ^= near ^ (near << 6);
  const uint32_t far = (x ^ (x >> 12)) & 0x0000f0f0U;
  return x ^ far ^ (far << 12);
}

// 32 codes from a bit stream in element order to quads, and back.
template <uint32_t Bits>
Quads<Bits> to_quads(const std::byte* packed) noexcept;
template <uint32_t Bits>
void from_quads(const Quads<Bits>& quads, std::byte* packed) noexcept;

template <>
Quads<8> to_quads<8>(const std::byte* packed) noexcept {
  return load_unaligned<Quads<8>>(packed);
}
template <>
void from_quads<8>(const Quads<8>& quads, std::byte* packed) noexcept {
  store_unaligned(packed, quads);
}

template <>
Quads<4> to_quads<4>(const std::byte* packed) noexcept {
  const auto low = load_unaligned<uint64_t>(packed);       // inputs 0 ... 15
  const auto high = load_unaligned<uint64_t>(packed + 8);  // inputs 16 ... 31
  const uint64_t even = (low & kLowNibbles) | (high & kLowNibbles) << 4;
  const uint64_t odd = ((low >> 4) & kLowNibbles) | (high & ~kLowNibbles);
  const uint64_t first = spread_bytes(even & 0xffffffffU) | spread_bytes(odd & 0xffffffffU) << 8;
  const uint64_t second = spread_bytes(even >> 32) | spread_bytes(odd >> 32) << 8;
  return std::bit_cast<Quads<4>>(std::array{first, second});
}
template <>
void from_quads<4>(const Quads<4>& quads, std::byte* packed) noexcept {
  const auto [first, second] = std::bit_cast<std::array<uint64_t, 2>>(quads);
  const uint64_t even = gather_bytes(first) | gather_bytes(second) << 32;
  const uint64_t odd = gather_bytes(first >> 8) | gather_bytes(second >> 8) << 32;
  store_unaligned(packed, (even & kLowNibbles) | (odd & kLowNibbles) << 4);
  store_unaligned(packed + 8, ((even >> 4) & kLowNibbles) | (odd & ~kLowNibbles));
}

template <>
Quads<2> to_quads<2>(const std::byte* packed) noexcept {
  const auto stream = load_unaligned<uint64_t>(packed);  // byte 2 f + j: field f of line j
  return {{transpose_pairs(static_cast<uint32_t>(gather_bytes(stream))),
           transpose_pairs(static_cast<uint32_t>(gather_bytes(stream >> 8)))}};
}
template <>
void from_quads<2>(const Quads<2>& quads, std::byte* packed) noexcept {
  store_unaligned(packed, spread_bytes(transpose_pairs(quads.line[0])) |
                              spread_bytes(transpose_pairs(quads.line[1])) << 8);
}

// A row's four codes of a line: where they lie, as four bytes or as two pairs.
struct FoursLine {
  static void store(std::byte* line, uint32_t row, uint32_t quad) noexcept {
    store_unaligned(line + size_t{4} * row, quad);
  }
  static uint32_t load(const std::byte* line, uint32_t row) noexcept {
    return load_unaligned<uint32_t>(line + size_t{4} * row);
  }
};
struct PairsLine {
  static size_t offset(uint32_t row) noexcept { return row / 4 * 16 + row % 4 * 2; }
  static void store(std::byte* line, uint32_t row, uint32_t quad) noexcept {
    store_unaligned(line + offset(row), static_cast<uint16_t>(quad));
    store_unaligned(line + offset(row) + 8, static_cast<uint16_t>(quad >> 16));
  }
  static uint32_t load(const std::byte* line, uint32_t row) noexcept {
    return load_unaligned<uint16_t>(line + offset(row)) |
           static_cast<uint32_t>(load_unaligned<uint16_t>(line + offset(row) + 8)) << 16;
  }
};

template <class Line, uint32_t Bits>
void store_quads(const Quads<Bits>& quads, uint32_t row, std::byte* lines) noexcept {
  for (uint32_t j = 0; j < Bits; ++j) Line::store(lines + size_t{kPanelLine} * j, row, quads.line[j]);
}
template <class Line, uint32_t Bits>
Quads<Bits> load_quads(const std::byte* lines, uint32_t row) noexcept {
  Quads<Bits> quads;
  for (uint32_t j = 0; j < Bits; ++j) quads.line[j] = Line::load(lines + size_t{kPanelLine} * j, row);
  return quads;
}

// Calls f with the width of the codes and the kind of line as constants.
template <class F>
void with_shape(const WeightFormat& format, const F& f) {
  if (panel_pairs(format.codec)) return f.template operator()<PairsLine, 8>();
  if (format.bits == 2) return f.template operator()<FoursLine, 2>();
  if (format.bits == 4) return f.template operator()<FoursLine, 4>();
  return f.template operator()<FoursLine, 8>();
}

// Bytes of a row's part of a block that exist: all of 32 codes unless the inputs end there.
uint32_t bytes_of_block(const WeightFormat& format, uint32_t cols_left) noexcept {
  return (std::min(cols_left, kBlock) * format.bits + 7) / 8;
}

template <class Line, uint32_t Bits>
void pack_codes(const WeightMatrix& source, uint32_t panel, const PanelStripe& stripe,
                std::byte* out) noexcept {
  const uint32_t rows = std::min(kPanelRows, source.rows - panel * kPanelRows);
  for (uint32_t r = 0; r < rows; ++r) {
    const std::byte* row = source.codes.row(uint64_t{panel} * kPanelRows + r) + stripe.first_col * Bits / 8;
    for (uint32_t col = 0; col < stripe.cols; col += kBlock) {
      const std::byte* packed = row + col * Bits / 8;
      std::byte rest[kBlock * Bits / 8] = {};
      if (const uint32_t bytes = bytes_of_block(source.format, stripe.cols - col); bytes < sizeof(rest)) {
        std::memcpy(rest, packed, bytes);
        packed = rest;
      }
      store_quads<Line>(to_quads<Bits>(packed), r, out + col / kBlock * (kPanelLine * Bits));
    }
  }
}

template <class Line, uint32_t Bits>
void unpack_codes(const WeightMatrix& source, uint32_t panel, const PanelStripe& stripe, std::byte* out,
                  uint64_t row_stride) noexcept {
  const uint32_t rows = std::min(kPanelRows, source.rows - panel * kPanelRows);
  const std::byte* lines = source.codes.row(panel) + stripe.codes;
  for (uint32_t r = 0; r < rows; ++r) {
    std::byte* row = out + (uint64_t{panel} * kPanelRows + r) * row_stride + stripe.first_col * Bits / 8;
    for (uint32_t col = 0; col < stripe.cols; col += kBlock) {
      std::byte packed[kBlock * Bits / 8];
      from_quads<Bits>(load_quads<Line, Bits>(lines + col / kBlock * (kPanelLine * Bits), r), packed);
      std::memcpy(row + col * Bits / 8, packed, bytes_of_block(source.format, stripe.cols - col));
    }
  }
}

// Scales (or biases) of a stripe: [rows][groups] to [groups][16], and back.
void pack_scales(const WeightMatrix& source, const Plane& plane, uint32_t panel, const PanelStripe& stripe,
                 std::byte* out) noexcept {
  const uint64_t width = scale_bytes(source.format.scale);
  const uint32_t rows = std::min(kPanelRows, source.rows - panel * kPanelRows);
  for (uint32_t r = 0; r < rows; ++r) {
    const std::byte* row = plane.row(scale_row(source.format, uint64_t{panel} * kPanelRows + r));
    for (uint32_t g = 0; g < stripe.groups; ++g) {
      std::memcpy(out + (uint64_t{g} * kPanelRows + r) * width, row + (stripe.first_group + g) * width,
                  width);
    }
  }
}

void unpack_scales(const WeightMatrix& source, const std::byte* in, uint32_t panel, const PanelStripe& stripe,
                   std::byte* out, uint64_t row_stride) noexcept {
  const uint64_t width = scale_bytes(source.format.scale);
  const uint32_t rows = std::min(kPanelRows, source.rows - panel * kPanelRows);
  for (uint32_t r = 0; r < rows; ++r) {
    std::byte* row = out + scale_row(source.format, uint64_t{panel} * kPanelRows + r) * row_stride;
    for (uint32_t g = 0; g < stripe.groups; ++g) {
      std::memcpy(row + (stripe.first_group + g) * width, in + (uint64_t{g} * kPanelRows + r) * width, width);
    }
  }
}

[[noreturn]] void refuse(const std::string& why) { throw Error(ErrorCode::kInternal, "packing: " + why); }

void check_block(WeightOrder order, const WeightMatrix& source, size_t bytes) {
  if (order == WeightOrder::kPanels && !has_panel_order(source.format)) {
    refuse(format_name(source.format) + " has no panel order");
  }
  const uint64_t expected = ordered_bytes(order, source.format, source.rows, source.cols);
  if (bytes != expected) {
    refuse("a block of " + std::to_string(bytes) + " bytes where " + std::to_string(expected) +
           " are needed");
  }
}

// Where unpacked rows go: the first row of each plane.
struct UnpackedPlanes {
  std::byte* codes;
  std::byte* scales;
  std::byte* biases;
};

void unpack_rows(const WeightMatrix& source, uint32_t panel, const UnpackedPlanes& out) noexcept {
  const WeightFormat& format = source.format;
  const PanelLayout layout = panel_layout(format, source.cols);
  const uint64_t scale_row = scale_row_bytes(format, source.cols);
  const std::byte* in = source.codes.row(panel);
  for (uint32_t s = 0; s < stripe_count(layout, source.cols); ++s) {
    const PanelStripe stripe = panel_stripe(layout, format, source.cols, s);
    unpack_scales(source, in + stripe.scales, panel, stripe, out.scales, scale_row);
    if (layout.planes == 2) unpack_scales(source, in + stripe.biases, panel, stripe, out.biases, scale_row);
    with_shape(format, [&]<class Line, uint32_t Bits>() {
      unpack_codes<Line, Bits>(source, panel, stripe, out.codes, row_bytes(format, source.cols));
    });
  }
}

UnpackedPlanes planes_of(const WeightFormat& format, uint32_t rows, uint32_t cols,
                         std::byte* block) noexcept {
  std::byte* scales = block + rows * row_bytes(format, cols);
  return {block, scales, scales + scale_rows(format, rows) * scale_row_bytes(format, cols)};
}

void unpack(const WeightMatrix& source, std::span<std::byte> out) noexcept {
  const UnpackedPlanes planes = planes_of(source.format, source.rows, source.cols, out.data());
  for (uint32_t panel = 0; panel < panel_count(source.rows); ++panel) unpack_rows(source, panel, planes);
}

// Rows order to rows order: the planes may lie apart and have gaps.
void copy_plane(const Plane& from, uint64_t rows, uint64_t bytes, std::byte*& out) noexcept {
  for (uint64_t r = 0; r < rows; ++r, out += bytes) std::memcpy(out, from.row(r), bytes);
}

}  // namespace

uint64_t ordered_bytes(WeightOrder order, const WeightFormat& format, uint32_t rows, uint32_t cols) noexcept {
  if (order == WeightOrder::kRows) return matrix_bytes(format, rows, cols);
  return panel_count(rows) * panel_layout(format, cols).panel_bytes;
}

WeightMatrix ordered_view(WeightOrder order, const WeightFormat& format, uint32_t rows, uint32_t cols,
                          const std::byte* block, float global_scale) noexcept {
  WeightMatrix view{
      .format = format, .order = order, .rows = rows, .cols = cols, .global_scale = global_scale};
  if (order == WeightOrder::kPanels) {
    view.codes = {block, panel_layout(format, cols).panel_bytes};
    return view;
  }
  view.codes = {block, row_bytes(format, cols)};
  if (format.scale == ScaleType::kNone) return view;
  const uint64_t scales = scale_row_bytes(format, cols);
  view.scales = {view.codes.row(rows), scales};
  if (codec_row(format.codec).biases) view.biases = {view.scales.row(scale_rows(format, rows)), scales};
  return view;
}

void pack_panels(const WeightMatrix& source, uint32_t first, uint32_t last, std::span<std::byte> out) {
  check_block(WeightOrder::kPanels, source, out.size());
  if (source.order != WeightOrder::kRows || last > panel_count(source.rows)) refuse("not rows to pack");
  const PanelLayout layout = panel_layout(source.format, source.cols);
  for (uint32_t panel = first; panel < last; ++panel) {
    std::byte* to = out.data() + panel * layout.panel_bytes;
    // Whatever is not written below (padding, rows and inputs that do not exist) is zero.
    std::memset(to, 0, layout.panel_bytes);
    for (uint32_t s = 0; s < stripe_count(layout, source.cols); ++s) {
      const PanelStripe stripe = panel_stripe(layout, source.format, source.cols, s);
      pack_scales(source, source.scales, panel, stripe, to + stripe.scales);
      if (layout.planes == 2) pack_scales(source, source.biases, panel, stripe, to + stripe.biases);
      with_shape(source.format, [&]<class Line, uint32_t Bits>() {
        pack_codes<Line, Bits>(source, panel, stripe, to + stripe.codes);
      });
    }
  }
}

void reorder(const WeightMatrix& source, WeightOrder order, std::span<std::byte> out) {
  check_block(order, source, out.size());
  if (source.order == order && order == WeightOrder::kPanels) {
    if (!out.empty()) std::memcpy(out.data(), source.codes.data, out.size());
    return;
  }
  if (order == WeightOrder::kPanels) return pack_panels(source, 0, panel_count(source.rows), out);
  if (source.order == WeightOrder::kPanels) return unpack(source, out);
  std::byte* to = out.data();
  const uint64_t scales = scale_row_bytes(source.format, source.cols);
  copy_plane(source.codes, source.rows, row_bytes(source.format, source.cols), to);
  copy_plane(source.scales, scale_rows(source.format, source.rows), scales, to);
  if (codec_row(source.format.codec).biases) copy_plane(source.biases, source.rows, scales, to);
}

WeightMatrix unpack_panel(const WeightMatrix& weight, uint32_t panel, std::byte* block) noexcept {
  WeightMatrix one = weight;
  one.format = panel_format(weight.format);
  one.rows = std::min(kPanelRows, weight.rows - panel * kPanelRows);
  one.codes.data = weight.codes.row(panel);
  unpack_rows(one, 0, planes_of(one.format, one.rows, one.cols, block));
  return ordered_view(WeightOrder::kRows, one.format, one.rows, one.cols, block, weight.global_scale);
}

void load_panel_codes(const WeightMatrix& weight, uint32_t row, uint32_t block,
                      std::span<uint8_t, 32> codes) noexcept {
  const PanelLayout layout = panel_layout(weight.format, weight.cols);
  const uint32_t per_stripe = layout.stripe_cols / kBlock;
  const PanelStripe stripe = panel_stripe(layout, weight.format, weight.cols, block / per_stripe);
  const std::byte* lines =
      weight.codes.row(row / kPanelRows) + stripe.codes + uint64_t{block % per_stripe} * layout.block_bytes;
  std::byte stream[kBlock];
  with_shape(weight.format, [&]<class Line, uint32_t Bits>() {
    from_quads<Bits>(load_quads<Line, Bits>(lines, row % kPanelRows), stream);
  });
  for (uint32_t i = 0; i < kBlock; ++i)
    codes[i] = static_cast<uint8_t>(load_code(stream, i, weight.format.bits));
}

PanelScale load_panel_scale(const WeightMatrix& weight, uint32_t row, uint32_t group) noexcept {
  const PanelLayout layout = panel_layout(weight.format, weight.cols);
  const PanelStripe stripe =
      panel_stripe(layout, weight.format, weight.cols, group * weight.format.group / layout.stripe_cols);
  const std::byte* panel = weight.codes.row(row / kPanelRows);
  const uint64_t index = uint64_t{group - stripe.first_group} * kPanelRows + row % kPanelRows;
  return {load_scale(weight.format.scale, panel + stripe.scales, index),
          layout.planes == 2 ? load_scale(weight.format.scale, panel + stripe.biases, index) : 0.0F};
}

}  // namespace mach
