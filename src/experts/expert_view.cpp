#include "experts/expert_view.h"

#include <algorithm>
#include <cstring>

#include "base/half.h"
#include "quant/codec.h"
#include "quant/packing.h"

namespace mach {
namespace {

float load_float(CodecId type, const std::byte* p) noexcept {
  switch (type) {
    case CodecId::kF16:
      return load_f16(p);
    case CodecId::kBF16:
      return load_bf16(p);
    default:
      return load_f32(p);
  }
}

// [cols, rows] to [rows, cols], elements of `width` bytes.
template <size_t width>
void turn(const MatrixView& view, std::byte* to) noexcept {
  constexpr uint32_t kTile = 32;  // both sides of a tile stay in L1
  const uint32_t rows = view.weight.rows;
  const uint32_t cols = view.weight.cols;
  for (uint32_t row0 = 0; row0 < rows; row0 += kTile) {
    for (uint32_t col0 = 0; col0 < cols; col0 += kTile) {
      for (uint32_t r = row0; r < std::min(row0 + kTile, rows); ++r) {
        for (uint32_t c = col0; c < std::min(col0 + kTile, cols); ++c) {
          std::memcpy(to + (uint64_t{r} * cols + c) * width, view.weight.codes.row(r) + c * view.col_stride,
                      width);
        }
      }
    }
  }
}

void turn_codes(const MatrixView& view, std::byte* to) noexcept {
  view.weight.format.bits == 32 ? turn<4>(view, to) : turn<2>(view, to);
}

void fill_matrix(const MatrixRecord& record, const MatrixView& view, std::byte* out) {
  const WeightMatrix& weight = view.weight;
  const auto place = [&](PlaneKind kind) { return out + record.plane(kind).offset; };
  if (view.col_stride != 0) {
    turn_codes(view, place(PlaneKind::kCodes));
  } else {  // codes, scales and biases are one block
    const uint64_t size = ordered_bytes(record.spec.order, weight.format, weight.rows, weight.cols);
    reorder(weight, record.spec.order, {place(PlaneKind::kCodes), size});
  }
  if (record.spec.global_scale) {
    std::memcpy(place(PlaneKind::kGlobalScale), &weight.global_scale, sizeof(float));
  }
  if (record.spec.bias) {
    std::byte* to = place(PlaneKind::kBias);
    for (uint32_t r = 0; r < weight.rows; ++r) {
      const float value = load_float(view.bias.type, view.bias.data + r * view.bias.stride);
      std::memcpy(to + r * sizeof(float), &value, sizeof value);
    }
  }
}

WeightMatrix bind_matrix(const MatrixRecord& record, const std::byte* bytes) noexcept {
  const MatrixSpec& spec = record.spec;
  const float scale =
      spec.global_scale ? load_f32(bytes + record.plane(PlaneKind::kGlobalScale).offset) : 1.0F;
  return ordered_view(spec.order, spec.format, spec.rows, spec.cols,
                      bytes + record.plane(PlaneKind::kCodes).offset, scale);
}

const std::byte* bias_of(const MatrixRecord& record, const std::byte* bytes) noexcept {
  return record.spec.bias ? bytes + record.plane(PlaneKind::kBias).offset : nullptr;
}

}  // namespace

void fill_record(const ExpertRecord& record, const ExpertView& view, std::span<std::byte> out) {
  // What lies between the planes is written too: the bytes of a record must follow from the expert alone.
  uint64_t end = 0;
  for (size_t m = 0; m < record.matrices.size(); ++m) {
    fill_matrix(record.matrices[m], view[m], out.data());
    for (const PlaneRange& plane : record.matrices[m].planes) {
      if (plane.size == 0) continue;
      std::memset(out.data() + end, 0, plane.offset - end);
      end = plane.offset + plane.size;
    }
  }
  std::memset(out.data() + end, 0, record.size - end);
}

ExpertWeights bind_record(const ExpertRecord& record, const std::byte* bytes) noexcept {
  const auto matrix = [&](Projection p) { return bind_matrix(record.matrix(p), bytes); };
  const auto bias = [&](Projection p) {
    return reinterpret_cast<const float*>(bias_of(record.matrix(p), bytes));
  };
  return {.gate = matrix(Projection::kGate),
          .up = matrix(Projection::kUp),
          .down = matrix(Projection::kDown),
          .gate_bias = bias(Projection::kGate),
          .up_bias = bias(Projection::kUp),
          .down_bias = bias(Projection::kDown)};
}

ExpertView view_record(const ExpertRecord& record, const std::byte* bytes) noexcept {
  ExpertView view;
  for (size_t m = 0; m < view.size(); ++m) {
    view[m].weight = bind_matrix(record.matrices[m], bytes);
    view[m].bias = {CodecId::kF32, bias_of(record.matrices[m], bytes), sizeof(float)};
  }
  return view;
}

}  // namespace mach
