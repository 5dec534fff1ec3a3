// How one routed expert lies in memory and in a sidecar: a record. All its planes are contiguous, in the order gate, up,
// down, so that one read fetches an expert and the first projections can start before the last is in. The same layout
// serves a sidecar's files, the slots of an expert bank and resident copies, so nothing is converted between them. Pure
// values and functions.
//
//   gate.codes | gate.scales | gate.biases | gate.global_scale | gate.bias | up. ... | down. ... | padding
//
// `scales` and `biases` belong to the codec (WeightMatrix) and follow the codes densely; `bias` is the additive vector of
// the projection, fp32; `global_scale` is one fp32 number. In panel order (quant/packing.h) scales and biases are inside
// the codes. A plane that a format does not have takes no room. Codes,
// global scale and bias start at multiples of kPlaneAlignment, and a record is a multiple of kRecordAlignment long.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "arch/tensor_plan.h"
#include "quant/weight.h"

namespace mach {

inline constexpr uint64_t kRecordAlignment = 4096;  // what direct reads ask of offset, length and memory
inline constexpr uint64_t kPlaneAlignment = 64;     // a cache line

enum class Projection : uint8_t { kGate, kUp, kDown };
inline constexpr std::array<Projection, 3> kProjections = {Projection::kGate, Projection::kUp,
                                                           Projection::kDown};
std::string_view projection_name(Projection projection) noexcept;  // "gate", "up", "down"

// One matrix of an expert: y = W x (+ bias), W [rows, cols].
struct MatrixSpec {
  WeightFormat format;
  uint32_t rows = 0;
  uint32_t cols = 0;
  WeightOrder order = WeightOrder::kRows;
  bool global_scale = false;
  bool bias = false;
  bool operator==(const MatrixSpec&) const = default;
};

// gate and up [intermediate, hidden], down [hidden, intermediate].
using ExpertSpec = std::array<MatrixSpec, 3>;  // by Projection

enum class PlaneKind : uint8_t { kCodes, kScales, kBiases, kGlobalScale, kBias };
inline constexpr size_t kPlaneKinds = 5;
std::string_view plane_name(PlaneKind kind) noexcept;  // "codes", "scales", "biases", "global_scale", "bias"

// Bytes within a record; size 0: the format has no such plane.
struct PlaneRange {
  uint64_t offset = 0;
  uint64_t size = 0;
  bool operator==(const PlaneRange&) const = default;
};

struct MatrixRecord {
  MatrixSpec spec;
  std::array<PlaneRange, kPlaneKinds> planes;  // by PlaneKind
  const PlaneRange& plane(PlaneKind kind) const noexcept { return planes[static_cast<size_t>(kind)]; }
  bool operator==(const MatrixRecord&) const = default;
};

struct ExpertRecord {
  std::array<MatrixRecord, 3> matrices;  // by Projection
  uint64_t size = 0;                     // bytes, padding included
  const MatrixRecord& matrix(Projection projection) const noexcept {
    return matrices[static_cast<size_t>(projection)];
  }
  bool operator==(const ExpertRecord&) const = default;
};

// Bytes that a plane of this matrix takes; 0 if it has none.
uint64_t plane_bytes(const MatrixSpec& spec, PlaneKind kind) noexcept;

// The canonical layout. Formats have passed check_format; sizes do not overflow for matrices that a config allows.
ExpertRecord make_expert_record(const ExpertSpec& spec) noexcept;

// The order of each matrix of a record: rows everywhere, or what the kernels of fast mode take (fast_order).
enum class RecordOrder : uint8_t { kRows, kFast };
ExpertRecord reordered(const ExpertRecord& record, RecordOrder order) noexcept;

// What an expert of the checkpoint's shards becomes as a record in rows order. A bias there becomes fp32.
ExpertSpec expert_spec(const ExpertRef& expert) noexcept;

// The routed experts of one layer, wherever they are stored: what a bank, a byte sum or a check needs to know.
struct ExpertLayerSpec {
  uint32_t layer = 0;
  uint32_t experts = 0;
  ExpertRecord record;
};

// Of the experts that lie in the shards, in layer order and rows order; empty with ExpertLayout::kSidecar.
std::vector<ExpertLayerSpec> expert_layers(const TensorPlan& plan);

}  // namespace mach
