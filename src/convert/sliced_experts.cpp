#include "convert/sliced_experts.h"

#include <array>

#include <fmt/format.h>

#include "mach/error.h"

#include "arch/parameters.h"
#include "arch/registry.h"
#include "experts/expert_view.h"
#include "quant/codec.h"

namespace mach {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"gate_proj", "up_proj", "down_proj"};

DType scale_dtype(ScaleType type) {
  switch (type) {
    case ScaleType::kF32:
      return DType::kF32;
    case ScaleType::kF16:
      return DType::kF16;
    case ScaleType::kBF16:
      return DType::kBF16;
    default:
      return DType::kU8;
  }
}

// One plane of a matrix: its name behind the module's, type, columns, and where its rows lie in a record.
struct Stored {
  std::string_view suffix;
  DType dtype;
  uint64_t rows, cols;
  PlaneKind kind;
};

// The spelling that tensor_lookup.h reads for each codec.
std::vector<Stored> stored_planes(const MatrixSpec& spec) {
  const WeightFormat& f = spec.format;
  const uint64_t groups = scales_per_row(f, spec.cols);
  const uint64_t lines = scale_rows(f, spec.rows);
  switch (f.codec) {
    case CodecId::kF32:
      return {{".weight", DType::kF32, spec.rows, spec.cols, PlaneKind::kCodes}};
    case CodecId::kF16:
      return {{".weight", DType::kF16, spec.rows, spec.cols, PlaneKind::kCodes}};
    case CodecId::kBF16:
      return {{".weight", DType::kBF16, spec.rows, spec.cols, PlaneKind::kCodes}};
    case CodecId::kFp8Block: {
      const DType type = f.scale == ScaleType::kE8M0 ? DType::kF8E8M0 : scale_dtype(f.scale);
      return {{".weight", DType::kF8E4M3, spec.rows, spec.cols, PlaneKind::kCodes},
              {".weight_scale_inv", type, lines, groups, PlaneKind::kScales}};
    }
    case CodecId::kNvFp4:
      if (spec.global_scale) {
        return {{".weight", DType::kU8, spec.rows, spec.cols / 2, PlaneKind::kCodes},
                {".weight_scale", DType::kF8E4M3, lines, groups, PlaneKind::kScales},
                {".weight_scale_2", DType::kF32, 1, 1, PlaneKind::kGlobalScale}};
      }
      [[fallthrough]];
    case CodecId::kAffine:
    case CodecId::kMxFp4:
    case CodecId::kMxFp8: {
      std::vector<Stored> planes = {
          {".weight", DType::kU32, spec.rows, uint64_t{spec.cols} * f.bits / 32, PlaneKind::kCodes},
          {".scales", scale_dtype(f.scale), lines, groups, PlaneKind::kScales}};
      if (codec_row(f.codec).biases)
        planes.push_back({".biases", scale_dtype(f.scale), lines, groups, PlaneKind::kBiases});
      return planes;
    }
  }
  throw Error(ErrorCode::kUnsupported, "experts of this codec can only be written as a sidecar");
}

// Reads a record once for all tensors of its expert, which are written one after the other.
class RecordCache {
 public:
  explicit RecordCache(const ExpertSource& source)
      : source_(source), context_(make_reader(ReaderKind::kBuffered, source.files())) {}

  std::span<const std::byte> plane(ExpertId id, const ExpertRecord& record, const PlaneRange& range) {
    if (!(id == held_) || buffer_.empty()) {
      if (buffer_.size() != record.size) buffer_ = AlignedBuffer(record.size, kDirectIoAlignment);
      source_.read(id, buffer_.bytes(), context_);
      held_ = id;
    }
    return std::span<const std::byte>(buffer_.bytes()).subspan(range.offset, range.size);
  }

 private:
  const ExpertSource& source_;
  ReadContext context_;
  AlignedBuffer buffer_;
  ExpertId held_{UINT32_MAX, 0};
};

}  // namespace

std::vector<OutputTensor> sliced_experts(const SourceCheckpoint& source, const KeptExperts& kept) {
  if (source.plan.mtp_layers > 0) {
    throw Error(ErrorCode::kUnsupported,
                source.directory.path().string() +
                    ": has a multi-token prediction block; its experts can only be written as a sidecar");
  }
  const auto cache = std::make_shared<RecordCache>(*source.experts);
  const ParameterList list = arch_row(source.config.family).parameters(source.config);
  std::vector<OutputTensor> out;
  for (const ExpertLayer& named : list.experts) {
    const ExpertLayerSpec* layer = source.experts->find(named.layer);
    if (layer == nullptr) continue;
    for (size_t i = 0; i < kept.at(named.layer).size(); ++i) {
      const ExpertId id{named.layer, kept[named.layer][i]};
      for (const Projection projection : kProjections) {
        const MatrixRecord& matrix = layer->record.matrix(projection);
        if (matrix.spec.order != WeightOrder::kRows)
          throw Error(ErrorCode::kInternal, "sliced experts need a source that was opened for rows");
        const std::string module = fmt::format("{}{}.experts.{}.{}", source.plan.prefix, named.bases.front(),
                                               i, kNames[static_cast<size_t>(projection)]);
        const auto add = [&](std::string name, DType dtype, const Shape& shape, PlaneKind kind) {
          const PlaneRange range = matrix.plane(kind);
          out.push_back({{std::move(name), dtype, shape},
                         range.size,
                         [cache, id, record = &layer->record, range](const ByteSink& sink) {
                           sink(cache->plane(id, *record, range));
                         }});
        };
        for (const Stored& plane : stored_planes(matrix.spec)) {
          const bool scalar = plane.kind == PlaneKind::kGlobalScale;
          add(module + std::string(plane.suffix), plane.dtype,
              scalar ? Shape{} : Shape{plane.rows, plane.cols}, plane.kind);
        }
        if (matrix.spec.bias) add(module + ".bias", DType::kF32, {matrix.spec.rows}, PlaneKind::kBias);
      }
    }
  }
  return out;
}

}  // namespace mach
