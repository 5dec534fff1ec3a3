#include "kernels/product.h"

#include <algorithm>
#include <string>

#include "mach/error.h"

#include "base/checked_math.h"
#include "kernels/kernel_types.h"
#include "quant/codec.h"
#include "quant/packing.h"

namespace mach {
namespace {

constexpr uint32_t kRowTile = 8;      // rows decoded together
constexpr uint32_t kChunkTile = 64;   // chunks are multiples of it: four panels
constexpr uint32_t kColumnTile = 64;  // columns passed to a kernel at once

// How one product is computed; all that follows from its format and the numeric mode.
struct Plan {
  const kernel::FormatKernels* format;
  kernel::DotRows* direct;  // not null: the codes are plain floats and need no decoding
  kernel::DotOne* one;      // not null: a single column, straight from the codes
  kernel::Int8Rows* int8;   // not null: with int8 activations
  kernel::Bf16Rows* bf16;   // not null: with bf16 activations
  Activations::Terms terms;
  bool unpack;  // the kernels want rows and the matrix has panels: these are turned one by one
};

// From this many columns on, widening 16-bit floats once per row tile costs less than once per column tile.
constexpr uint32_t kDecodeColumns = 6;

Plan plan_of(const Compute& compute, const Product& product) {
  const WeightMatrix& weight = *product.weight;
  const kernel::FormatKernels* format = compute.kernels.find_format(weight.format);
  const bool fast = compute.numerics == Numerics::kFast && !product.force_exact;
  Plan plan{.format = format,
            .direct = nullptr,
            .one = nullptr,
            .int8 = nullptr,
            .bf16 = nullptr,
            .terms = Activations::Terms::kOne,
            .unpack = weight.order == WeightOrder::kPanels};
  if (format == nullptr) return plan;
  const Activations::Terms wanted = product.two_terms ? Activations::Terms::kTwo : Activations::Terms::kOne;
  if (fast && plan.unpack && format->int8_panels != nullptr) {
    plan.int8 = format->int8_panels;
    plan.unpack = false;
    plan.terms = wanted;
    return plan;
  }
  if (fast) plan.int8 = format->int8_rows;
  if (weight.global_scale != 1.0F) return plan;
  if (fast && format->bf16_rows != nullptr) {
    plan.bf16 = format->bf16_rows;
    plan.terms = wanted;
    return plan;
  }
  const bool few = product.column_count() < kDecodeColumns;
  if (weight.format.codec == CodecId::kF32) plan.direct = compute.kernels.dot_rows_f32;
  if (weight.format.codec == CodecId::kF16 && few) plan.direct = compute.kernels.dot_rows_f16;
  if (weight.format.codec == CodecId::kBF16 && few) plan.direct = compute.kernels.dot_rows_bf16;
  if (product.column_count() == 1 && weight.cols % 32 == 0 && weight.format.group % 32 == 0) {
    plan.one = format->dot_one;
  }
  return plan;
}

void check(const Compute& compute, const Product& product) {
  const auto refuse = [](const std::string& why) { throw Error(ErrorCode::kInternal, "product: " + why); };
  if (product.weight == nullptr || product.x == nullptr) refuse("without operands");
  if (product.weight->cols != product.x->dim()) {
    refuse("a matrix with " + std::to_string(product.weight->cols) + " inputs and activations of " +
           std::to_string(product.x->dim()));
  }
  for (const uint32_t column : product.columns) {
    if (column >= product.x->count()) refuse("column " + std::to_string(column) + " does not exist");
  }
  if (product.column_count() > 1 && product.y_stride < product.weight->rows)
    refuse("y_stride below the row count");
  if (compute.kernels.find_format(product.weight->format) == nullptr) {
    refuse("no kernel for " + format_name(product.weight->format));
  }
}

// Rows in a chunk: what one thread does in about 6 microseconds where memory limits (two to six threads share its rate), in
// up to 50 where arithmetic does. Small enough that threads end a region together, and that a thread whose core another
// process uses holds up little; chunks of a matrix are of one size, so that none is a small rest.
uint32_t chunk_rows(const Product& product) {
  constexpr uint64_t kChunkBytes = 192 << 10;
  constexpr uint64_t kChunkWork = 1'200'000;
  const uint64_t bytes = row_bytes(product.weight->format, product.weight->cols);
  const uint64_t work = uint64_t{product.weight->cols} * product.column_count();
  const uint64_t rows = std::max(product.weight->rows, 1U);
  const uint64_t chunks = std::max(ceil_div(rows * bytes, kChunkBytes), ceil_div(rows * work, kChunkWork));
  return static_cast<uint32_t>(round_up(ceil_div(rows, std::max<uint64_t>(chunks, 1)), kChunkTile));
}

size_t chunk_count(const Product& product) {
  return product.column_count() == 0 ? 0 : ceil_div(product.weight->rows, chunk_rows(product));
}

// Floats from one decoded row to the next: an odd multiple of 2 KiB, so that rows do not all compete for the same places of a
// cache whose ways repeat every 4 KiB.
size_t decoded_stride(uint32_t cols) { return round_up(cols, 1024) + 512; }

size_t kernel_scratch_bytes(const Product& product, const Plan& plan) {
  if (plan.int8 != nullptr) return int8_scratch_bytes(product.weight->cols);
  if (plan.bf16 != nullptr) return kernel::kBf16Scratch;
  return plan.direct != nullptr ? 0 : kRowTile * decoded_stride(product.weight->cols) * sizeof(float);
}

// What the kernels need, then an unpacked panel.
size_t scratch_bytes(const Product& product, const Plan& plan) {
  const size_t kernel = round_up(kernel_scratch_bytes(product, plan), kVectorAlignment);
  if (!plan.unpack) return kernel;
  return kernel + matrix_bytes(panel_format(product.weight->format), kPanelRows, product.weight->cols);
}

// Rows [begin, end) against all columns in fp32. Decoded rows stay in a buffer of the size of a near cache.
void run_fp32(const Product& product, const Plan& plan, const KernelSet& kernels, uint32_t begin,
              uint32_t end, std::byte* scratch) {
  const WeightMatrix& weight = *product.weight;
  const uint32_t columns = product.column_count();
  if (plan.one != nullptr) {
    plan.one(weight, begin, end, product.x->row(product.columns.empty() ? 0 : product.columns[0]), product.y);
    return;
  }
  // A single column reads each decoded row once: fewer rows at a time stay in the nearest cache.
  const uint32_t tile = columns > 1 ? kRowTile : plan.direct != nullptr ? end - begin : kRowTile / 2;
  for (uint32_t first = begin; first < end; first += tile) {
    const uint32_t count = std::min(tile, end - first);
    kernel::Rows rows{weight.codes.data + first * weight.codes.row_stride, weight.codes.row_stride, count};
    kernel::DotRows* dot = plan.direct;
    if (dot == nullptr) {
      auto* decoded = reinterpret_cast<float*>(scratch);
      const size_t stride = decoded_stride(weight.cols);
      for (uint32_t r = 0; r < count; ++r) plan.format->decode(weight, first + r, decoded + r * stride);
      rows = {scratch, stride * sizeof(float), count};
      dot = kernels.dot_rows_f32;
    }
    for (uint32_t c = 0; c < columns; c += kColumnTile) {
      const uint32_t width = std::min(kColumnTile, columns - c);
      const float* x[kColumnTile];
      for (uint32_t i = 0; i < width; ++i) {
        x[i] = product.x->row(product.columns.empty() ? c + i : product.columns[c + i]);
      }
      dot(rows, weight.cols, x, width, product.y + c * product.y_stride + first, product.y_stride);
    }
  }
}

void run_int8(const Product& product, const Plan& plan, Compute& compute, uint32_t begin, uint32_t end,
              std::byte* scratch) {
  const bool panels = product.weight->order == WeightOrder::kPanels;
  const PanelLayout layout =
      panels ? panel_layout(product.weight->format, product.weight->cols) : PanelLayout{};
  const kernel::Int8Job job{.weight = product.weight,
                            .layout = panels ? &layout : nullptr,
                            .row_begin = begin,
                            .row_end = end,
                            .x = product.x->int8(compute, int8_sum_group(product.weight->format), plan.terms),
                            .columns = product.columns.empty() ? nullptr : product.columns.data(),
                            .column_count = product.column_count(),
                            .y = product.y,
                            .y_stride = product.y_stride,
                            .scratch = scratch};
  plan.int8(job);
}

void run_bf16(const Product& product, const Plan& plan, Compute& compute, uint32_t begin, uint32_t end,
              std::byte* scratch) {
  const kernel::Bf16Job job{.weight = product.weight,
                            .row_begin = begin,
                            .row_end = end,
                            .x = product.x->bf16(compute, plan.terms),
                            .columns = product.columns.empty() ? nullptr : product.columns.data(),
                            .column_count = product.column_count(),
                            .y = product.y,
                            .y_stride = product.y_stride,
                            .scratch = scratch};
  plan.bf16(job);
}

void run_rows(const Product& product, const Plan& plan, Compute& compute, uint32_t begin, uint32_t end,
              std::byte* scratch) {
  if (plan.int8 != nullptr) {
    run_int8(product, plan, compute, begin, end, scratch);
  } else if (plan.bf16 != nullptr) {
    run_bf16(product, plan, compute, begin, end, scratch);
  } else {
    run_fp32(product, plan, compute.kernels, begin, end, scratch);
  }
}

void run_unpacked(const Product& product, const Plan& plan, Compute& compute, uint32_t begin, uint32_t end,
                  std::byte* scratch) {
  std::byte* block = scratch + round_up(kernel_scratch_bytes(product, plan), kVectorAlignment);
  for (uint32_t row = begin; row < end; row += kPanelRows) {
    const WeightMatrix rows = unpack_panel(*product.weight, row / kPanelRows, block);
    Product part = product;
    part.weight = &rows;
    part.y += row;
    run_rows(part, plan, compute, 0, rows.rows, scratch);
  }
}

void add_bias(const Product& product, uint32_t begin, uint32_t end) {
  for (uint32_t i = 0; i < product.column_count(); ++i) {
    float* y = product.y + i * product.y_stride;
    for (uint32_t r = begin; r < end; ++r) y[r] += product.bias[r];
  }
}

}  // namespace

void multiply(Compute& compute, std::span<const Product> products) {
  size_t chunks = 0;
  size_t scratch = 0;
  compute.chunk_ends.clear();
  for (const Product& product : products) {
    check(compute, product);
    const Plan plan = plan_of(compute, product);
    // Prepared before the region.
    if (plan.int8 != nullptr) product.x->int8(compute, int8_sum_group(product.weight->format), plan.terms);
    if (plan.bf16 != nullptr) product.x->bf16(compute, plan.terms);
    chunks += chunk_count(product);
    compute.chunk_ends.push_back(chunks);
    scratch = std::max(scratch, scratch_bytes(product, plan));
  }
  compute.scratch.reserve(compute.pool.threads(), scratch);

  compute.pool.run(chunks, [&](size_t chunk, size_t worker) {
    const auto end_chunk = std::upper_bound(compute.chunk_ends.begin(), compute.chunk_ends.end(), chunk);
    const auto index = static_cast<size_t>(end_chunk - compute.chunk_ends.begin());
    const size_t first = index == 0 ? 0 : compute.chunk_ends[index - 1];
    const Product& product = products[index];
    const uint32_t rows = chunk_rows(product);
    const auto begin = static_cast<uint32_t>((chunk - first) * rows);
    const uint32_t end = std::min(begin + rows, product.weight->rows);
    const Plan plan = plan_of(compute, product);
    std::byte* memory = compute.scratch.of(worker);
    if (plan.unpack) {
      run_unpacked(product, plan, compute, begin, end, memory);
    } else {
      run_rows(product, plan, compute, begin, end, memory);
    }
    if (product.bias != nullptr) add_bias(product, begin, end);
  });
}

void multiply(Compute& compute, const Product& product) { multiply(compute, {&product, 1}); }

}  // namespace mach
