#include "kernels/grouped_products.h"

#include <algorithm>

#include "base/checked_math.h"
#include "kernels/kernel_types.h"

namespace mach {
namespace {

// Rows of gate and up in a chunk: quantised groups and their sums, of 128 at most, lie within one.
constexpr uint32_t kGatedRows = 128;
// Rows of down in a chunk: its sums, of all rows of the pass, stay in the second cache.
constexpr uint32_t kSummedRows = 64;
constexpr uint32_t kColumns = 96;  // columns at a time

kernel::Int8Rows* kernel_of(const Compute& compute, const WeightMatrix& weight) noexcept {
  return compute.kernels.find_format(weight.format)->int8_panels;
}

const std::byte* panel_of(const WeightMatrix& weight, const PanelLayout& layout, uint32_t row) noexcept {
  return weight.codes.data + size_t{row} / kPanelRows * layout.panel_bytes;
}

WeightMatrix rows_of(const WeightMatrix& weight, const PanelLayout& layout, uint32_t begin, uint32_t end) {
  WeightMatrix part = weight;
  part.codes.data = panel_of(weight, layout, begin);
  part.rows = end - begin;
  return part;
}

PanelLayout layout_of(const WeightMatrix& weight) { return panel_layout(weight.format, weight.cols); }

// Columns first, first + 1, ... of a view.
kernel::Int8View from_column(kernel::Int8View x, size_t first) noexcept {
  x.values += first * x.value_stride;
  x.scales += first * x.scale_stride;
  x.sums += first * x.sum_stride;
  x.totals += first * x.total_stride;
  return x;
}

void add_bias(const KernelSet& kernels, const float* bias, uint32_t n, uint32_t count, float* y) {
  if (bias == nullptr) return;
  for (uint32_t i = 0; i < count; ++i) kernels.add(bias, n, y + size_t{i} * n);
}

}  // namespace

bool grouped_products_take(const Compute& compute, const WeightMatrix& weight) noexcept {
  if (compute.numerics != Numerics::kFast || weight.order != WeightOrder::kPanels) return false;
  const kernel::FormatKernels* format = compute.kernels.find_format(weight.format);
  return format != nullptr && format->int8_panels != nullptr;
}

void gated_products(Compute& compute, const Activations& x, std::span<const GatedProduct> products,
                    ActivatePiece activate, Activations& out) {
  if (products.empty()) return;
  const uint32_t rows = products[0].gate->rows;
  const auto blocks = static_cast<size_t>(ceil_div(rows, kGatedRows));
  for (const GatedProduct& product : products) {  // prepared before the region
    x.int8(compute, int8_sum_group(product.gate->format));
    x.int8(compute, int8_sum_group(product.up->format));
  }
  constexpr size_t kFloats = size_t{kColumns} * kGatedRows;
  compute.scratch.reserve(compute.pool.threads(), kernel::kInt8PanelScratch + 2 * kFloats * sizeof(float));

  const size_t chunks = products.size() * blocks;
  const size_t threads = compute.pool.threads();
  compute.pool.run(chunks, [&](size_t chunk, size_t worker) {
    const GatedProduct& product = products[chunk / blocks];
    const auto begin = static_cast<uint32_t>(chunk % blocks) * kGatedRows;
    const uint32_t n = std::min(kGatedRows, rows - begin);
    std::byte* scratch = compute.scratch.of(worker);
    auto* gate = reinterpret_cast<float*>(scratch + kernel::kInt8PanelScratch);
    float* up = gate + kFloats;
    const PanelLayout gate_layout = layout_of(*product.gate);
    const PanelLayout up_layout = layout_of(*product.up);
    const WeightMatrix gate_rows = rows_of(*product.gate, gate_layout, begin, begin + n);
    const WeightMatrix up_rows = rows_of(*product.up, up_layout, begin, begin + n);
    // Chunks are handed out in order, so the one that this worker gets next is about so far away.
    const size_t later = std::min(chunk + threads, chunks - 1);
    const std::byte* next_gate = panel_of(*products[later / blocks].gate, gate_layout,
                                          static_cast<uint32_t>(later % blocks) * kGatedRows);
    const auto count = static_cast<uint32_t>(product.columns.size());
    for (uint32_t first = 0; first < count; first += kColumns) {
      const uint32_t width = std::min(kColumns, count - first);
      const bool last = first + width == count;
      kernel::Int8Job job{.weight = &gate_rows,
                          .layout = &gate_layout,
                          .row_begin = 0,
                          .row_end = n,
                          .x = x.int8(compute, int8_sum_group(product.gate->format)),
                          .columns = product.columns.data() + first,
                          .column_count = width,
                          .y = gate,
                          .y_stride = n,
                          .scratch = scratch,
                          .next = up_rows.codes.data};
      kernel_of(compute, gate_rows)(job);
      job.weight = &up_rows;
      job.layout = &up_layout;
      job.x = x.int8(compute, int8_sum_group(product.up->format));
      job.y = up;
      job.next = last ? next_gate : gate_rows.codes.data;
      kernel_of(compute, up_rows)(job);
      if (product.gate_bias != nullptr) add_bias(compute.kernels, product.gate_bias + begin, n, width, gate);
      if (product.up_bias != nullptr) add_bias(compute.kernels, product.up_bias + begin, n, width, up);
      for (uint32_t i = 0; i < width; ++i) {
        float* piece = gate + size_t{i} * n;
        activate(piece, up + size_t{i} * n, n, piece);
        out.set_piece(compute.kernels, product.out_first + first + i, begin, {piece, n});
      }
    }
  });
}

void summed_products(Compute& compute, const Activations& x, std::span<const SummedProduct> products,
                     float* out, uint32_t out_rows) {
  if (products.empty()) return;
  const uint32_t rows = products[0].weight->rows;
  const auto blocks = static_cast<size_t>(ceil_div(rows, kSummedRows));
  for (const SummedProduct& product : products) x.int8(compute, int8_sum_group(product.weight->format));
  const size_t sums = size_t{out_rows} * kSummedRows;
  compute.scratch.reserve(
      compute.pool.threads(),
      kernel::kInt8PanelScratch + (sums + size_t{kColumns} * kSummedRows) * sizeof(float));

  compute.pool.run(blocks, [&](size_t block, size_t worker) {
    const auto begin = static_cast<uint32_t>(block) * kSummedRows;
    const uint32_t n = std::min(kSummedRows, rows - begin);
    std::byte* scratch = compute.scratch.of(worker);
    auto* sum = reinterpret_cast<float*>(scratch + kernel::kInt8PanelScratch);
    float* y = sum + sums;
    for (size_t row = 0; row < out_rows; ++row) std::copy_n(out + row * rows + begin, n, sum + row * n);
    for (size_t p = 0; p < products.size(); ++p) {
      const SummedProduct& product = products[p];
      const PanelLayout layout = layout_of(*product.weight);
      const WeightMatrix part = rows_of(*product.weight, layout, begin, begin + n);
      const bool more = p + 1 < products.size();
      const std::byte* next = more ? panel_of(*products[p + 1].weight, layout, begin) : nullptr;
      const auto count = static_cast<uint32_t>(product.targets.size());
      for (uint32_t first = 0; first < count; first += kColumns) {
        const uint32_t width = std::min(kColumns, count - first);
        const kernel::Int8Job job{
            .weight = &part,
            .layout = &layout,
            .row_begin = 0,
            .row_end = n,
            .x = from_column(x.int8(compute, int8_sum_group(part.format)), size_t{product.x_first} + first),
            .columns = nullptr,
            .column_count = width,
            .y = y,
            .y_stride = n,
            .scratch = scratch,
            .next = first + width == count ? next : part.codes.data};
        kernel_of(compute, part)(job);
        if (product.bias != nullptr) add_bias(compute.kernels, product.bias + begin, n, width, y);
        for (uint32_t i = 0; i < width; ++i) {
          compute.kernels.axpy(product.weights[first + i], y + size_t{i} * n, n,
                               sum + size_t{product.targets[first + i]} * n);
        }
      }
    }
    for (size_t row = 0; row < out_rows; ++row) std::copy_n(sum + row * n, n, out + row * rows + begin);
  });
}

}  // namespace mach
