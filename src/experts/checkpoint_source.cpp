// Experts out of safetensors shards. The planes of an expert lie in several tensors, at any alignment and distance, so
// the blocks that hold them are read into staging memory and put together from there.
#include <algorithm>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/half.h"
#include "experts/expert_source.h"
#include "experts/expert_view.h"
#include "experts/plane_ranges.h"

namespace mach {
namespace {

// Where the bytes of a plan's references are, once their ranges have been read into staging memory.
class StagedExpert {
 public:
  StagedExpert(const TensorPlan& plan, std::vector<FileRange> ranges,
               std::span<const std::byte* const> places)
      : plan_(plan), ranges_(std::move(ranges)), places_(places.begin(), places.end()) {}

  ExpertView view(const ExpertRef& expert) const {
    return {view(expert.gate, expert.gate_bias), view(expert.up, expert.up_bias),
            view(expert.down, expert.down_bias)};
  }

 private:
  const std::byte* at(uint32_t tensor, uint64_t offset) const {
    const TensorLocation& location = plan_.tensors[tensor];
    const uint64_t begin = location.offset + offset;
    for (size_t i = 0; i < ranges_.size(); ++i) {
      const FileRange& range = ranges_[i];
      if (range.file == location.shard && begin >= range.begin && begin < range.end) {
        return places_[i] + (begin - range.begin);
      }
    }
    throw Error(ErrorCode::kInternal, "a plane of " + location.name + " was not read");
  }
  Plane plane(const PlaneRef& ref) const { return {at(ref.tensor, ref.offset), ref.row_stride}; }

  MatrixView view(const WeightRef& ref, const std::optional<VectorRef>& bias) const {
    MatrixView out;
    out.weight = {.format = ref.format, .rows = ref.rows, .cols = ref.cols, .codes = plane(ref.codes)};
    if (ref.transposed) out.col_stride = ref.col_stride;
    if (ref.scales) out.weight.scales = plane(*ref.scales);
    if (ref.biases) out.weight.biases = plane(*ref.biases);
    if (ref.global_scale) {
      const float value = load_f32(at(ref.global_scale->tensor, ref.global_scale->offset));
      out.weight.global_scale = ref.global_scale->divide ? 1.0F / value : value;
    }
    if (bias) out.bias = {bias->type, at(bias->tensor, bias->offset), bias->stride};
    return out;
  }

  const TensorPlan& plan_;
  std::vector<FileRange> ranges_;
  std::vector<const std::byte*> places_;
};

class CheckpointSource final : public ExpertSource {
 public:
  CheckpointSource(std::vector<std::filesystem::path> shards, const TensorPlan& plan, RecordOrder order)
      : specs_(expert_layers(plan)), files_(std::move(shards)) {
    for (ExpertLayerSpec& spec : specs_) spec.record = reordered(spec.record, order);
    // Only what reads need: a plan of dense matrices can be large.
    plan_.tensors = plan.tensors;
    plan_.experts = plan.experts;
    plan_.layout = plan.layout;
    for (const ExpertLayerPlan& layer : plan_.experts) {
      for (const ExpertRef& expert : layer.experts) check(layer.layer, expert);
    }
  }

  std::span<const ExpertLayerSpec> layers() const noexcept override { return specs_; }
  const ReadFiles& files() const noexcept override { return files_; }
  uint64_t staging_bytes() const noexcept override { return staging_; }
  std::string_view name() const noexcept override { return expert_layout_name(plan_.layout); }

  void read(ExpertId id, std::span<std::byte> record, ReadContext& context) const override {
    const ExpertLayerPlan* layer = plan_.experts_of(id.layer);
    if (layer == nullptr || id.expert >= layer->experts.size()) {
      throw Error(ErrorCode::kInternal, "the checkpoint has no " + to_string(id));
    }
    const ExpertRef& expert = layer->experts[id.expert];
    try {
      std::vector<FileRange> ranges = expert_ranges(plan_, expert);
      const auto places = read_ranges(ranges, context);
      fill_record(find(id.layer)->record, StagedExpert(plan_, std::move(ranges), places).view(expert),
                  record);
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("{}: {}", to_string(id), error.what()));
    }
  }

 private:
  void check(uint32_t layer, const ExpertRef& expert) {
    const std::vector<FileRange> ranges = expert_ranges(plan_, expert);
    for (const FileRange& range : ranges) {
      if (range.end > files_.size(range.file)) {
        throw Error(ErrorCode::kCorruptFile,
                    fmt::format("{}: ends before byte {}, where experts of layer {} lie",
                                files_.path(range.file).string(), range.end, layer));
      }
    }
    staging_ = std::max(staging_, staged_bytes(ranges));
  }

  std::vector<const std::byte*> read_ranges(std::span<const FileRange> ranges, ReadContext& context) const {
    std::span<std::byte> room = context.staging(staging_);
    std::vector<const std::byte*> places;
    std::vector<ReadPart> parts;
    for (size_t i = 0; i < ranges.size(); ++i) {
      const FileRange& range = ranges[i];
      const uint64_t size = staged_bytes({&range, 1});
      places.push_back(room.data());
      parts.push_back({range.begin, room.first(size), range.end - range.begin});
      room = room.subspan(size);
      if (i + 1 < ranges.size() && ranges[i + 1].file == range.file) continue;
      files_.check_unchanged(range.file);
      context.reader().read(range.file, parts);
      parts.clear();
    }
    return places;
  }

  std::vector<ExpertLayerSpec> specs_;
  ReadFiles files_;
  TensorPlan plan_;
  uint64_t staging_ = 0;
};

}  // namespace

std::unique_ptr<ExpertSource> open_checkpoint_source(std::vector<std::filesystem::path> shards,
                                                     const TensorPlan& plan, RecordOrder order) {
  return std::make_unique<CheckpointSource>(std::move(shards), plan, order);
}

}  // namespace mach
