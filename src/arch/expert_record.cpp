#include "arch/expert_record.h"

#include "base/checked_math.h"
#include "quant/codec.h"
#include "quant/packing.h"

namespace mach {
namespace {

constexpr std::array<std::string_view, 3> kProjectionNames = {"gate", "up", "down"};
constexpr std::array<std::string_view, kPlaneKinds> kPlaneNames = {"codes", "scales", "biases",
                                                                   "global_scale", "bias"};

MatrixSpec matrix_spec(const WeightRef& weight, bool bias) noexcept {
  return {.format = weight.format,
          .rows = weight.rows,
          .cols = weight.cols,
          .global_scale = weight.global_scale.has_value(),
          .bias = bias};
}

}  // namespace

std::string_view projection_name(Projection projection) noexcept {
  return kProjectionNames[static_cast<size_t>(projection)];
}

std::string_view plane_name(PlaneKind kind) noexcept { return kPlaneNames[static_cast<size_t>(kind)]; }

uint64_t plane_bytes(const MatrixSpec& spec, PlaneKind kind) noexcept {
  const WeightFormat& format = spec.format;
  const bool panels = spec.order == WeightOrder::kPanels;
  switch (kind) {
    case PlaneKind::kCodes:
      return panels ? ordered_bytes(spec.order, format, spec.rows, spec.cols)
                    : spec.rows * row_bytes(format, spec.cols);
    case PlaneKind::kScales:
      return panels ? 0 : scale_rows(format, spec.rows) * scale_row_bytes(format, spec.cols);
    case PlaneKind::kBiases:
      return codec_row(format.codec).biases ? plane_bytes(spec, PlaneKind::kScales) : 0;
    case PlaneKind::kGlobalScale:
      return spec.global_scale ? sizeof(float) : 0;
    case PlaneKind::kBias:
      return spec.bias ? spec.rows * sizeof(float) : 0;
  }
  return 0;
}

ExpertRecord make_expert_record(const ExpertSpec& spec) noexcept {
  ExpertRecord record;
  uint64_t end = 0;
  for (size_t m = 0; m < spec.size(); ++m) {
    MatrixRecord& matrix = record.matrices[m];
    matrix.spec = spec[m];
    for (size_t k = 0; k < kPlaneKinds; ++k) {
      const auto kind = static_cast<PlaneKind>(k);
      const uint64_t size = plane_bytes(spec[m], kind);
      if (size == 0) continue;
      const bool dense = kind == PlaneKind::kScales || kind == PlaneKind::kBiases;
      matrix.planes[k] = {.offset = dense ? end : round_up(end, kPlaneAlignment), .size = size};
      end = matrix.planes[k].offset + size;
    }
  }
  record.size = round_up(end, kRecordAlignment);
  return record;
}

ExpertRecord reordered(const ExpertRecord& record, RecordOrder order) noexcept {
  ExpertSpec spec;
  for (size_t m = 0; m < spec.size(); ++m) {
    spec[m] = record.matrices[m].spec;
    spec[m].order = order == RecordOrder::kFast ? fast_order(spec[m].format) : WeightOrder::kRows;
  }
  return make_expert_record(spec);
}

ExpertSpec expert_spec(const ExpertRef& expert) noexcept {
  return {matrix_spec(expert.gate, expert.gate_bias.has_value()),
          matrix_spec(expert.up, expert.up_bias.has_value()),
          matrix_spec(expert.down, expert.down_bias.has_value())};
}

std::vector<ExpertLayerSpec> expert_layers(const TensorPlan& plan) {
  std::vector<ExpertLayerSpec> layers;
  layers.reserve(plan.experts.size());
  for (const ExpertLayerPlan& layer : plan.experts) {
    layers.push_back({.layer = layer.layer,
                      .experts = static_cast<uint32_t>(layer.experts.size()),
                      .record = make_expert_record(expert_spec(layer.experts.front()))});
  }
  return layers;
}

}  // namespace mach
