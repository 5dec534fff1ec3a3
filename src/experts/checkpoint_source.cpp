// Experts out of safetensors shards. The planes of an expert lie in several tensors, at any alignment and distance, so
// the blocks that hold them are read into staging memory and put together from there.
#include <algorithm>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/checked_math.h"
#include "base/half.h"
#include "experts/expert_source.h"
#include "experts/expert_view.h"
#include "quant/codec.h"

namespace mach {
namespace {

// Reading a little too much in one piece beats a second read.
constexpr uint64_t kMergeGap = uint64_t{64} << 10;

struct FileRange {
  uint32_t file = 0;
  uint64_t begin = 0;  // bytes from the start of the file
  uint64_t end = 0;
};

// Bytes from the first to behind the last element, of `count` elements `stride` apart.
uint64_t extent(uint64_t count, uint64_t stride, uint64_t element) noexcept {
  return count == 0 ? 0 : (count - 1) * stride + element;
}

uint64_t float_bytes(CodecId type) noexcept { return type == CodecId::kF32 ? 4 : 2; }

// The ranges that the planes of one expert occupy in their files.
class PlaneRanges {
 public:
  PlaneRanges(const TensorPlan& plan, const ExpertRef& expert) : plan_(plan) {
    add(expert.gate);
    add(expert.up);
    add(expert.down);
    for (const auto* bias : {&expert.gate_bias, &expert.up_bias, &expert.down_bias}) {
      if (*bias) add(**bias);
    }
  }

  // Aligned for direct reads, ascending, near ones joined.
  std::vector<FileRange> joined() && {
    std::sort(ranges_.begin(), ranges_.end(), [](const FileRange& a, const FileRange& b) {
      return a.file != b.file ? a.file < b.file : a.begin < b.begin;
    });
    std::vector<FileRange> out;
    for (FileRange range : ranges_) {
      range.begin -= range.begin % kDirectIoAlignment;
      if (!out.empty() && out.back().file == range.file && range.begin <= out.back().end + kMergeGap) {
        out.back().end = std::max(out.back().end, range.end);
      } else {
        out.push_back(range);
      }
    }
    return out;
  }

 private:
  void add(uint32_t tensor, uint64_t offset, uint64_t size) {
    const TensorLocation& location = plan_.tensors.at(tensor);
    const uint64_t begin = location.offset + offset;
    ranges_.push_back({location.shard, begin, begin + size});
  }
  void add(const PlaneRef& plane, uint64_t rows, uint64_t row_size) {
    add(plane.tensor, plane.offset, extent(rows, plane.row_stride, row_size));
  }
  void add(const WeightRef& ref) {
    const WeightFormat& format = ref.format;
    const uint64_t row = ref.transposed ? extent(ref.cols, ref.col_stride, float_bytes(format.codec))
                                        : row_bytes(format, ref.cols);
    add(ref.codes, ref.rows, row);
    const uint64_t scales = scale_rows(format, ref.rows);
    if (ref.scales) add(*ref.scales, scales, scale_row_bytes(format, ref.cols));
    if (ref.biases) add(*ref.biases, scales, scale_row_bytes(format, ref.cols));
    if (ref.global_scale) add(ref.global_scale->tensor, ref.global_scale->offset, sizeof(float));
  }
  void add(const VectorRef& ref) {
    add(ref.tensor, ref.offset, extent(ref.count, ref.stride, float_bytes(ref.type)));
  }

  const TensorPlan& plan_;
  std::vector<FileRange> ranges_;
};

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
      std::vector<FileRange> ranges = PlaneRanges(plan_, expert).joined();
      const auto places = read_ranges(ranges, context);
      fill_record(find(id.layer)->record, StagedExpert(plan_, std::move(ranges), places).view(expert),
                  record);
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("{}: {}", to_string(id), error.what()));
    }
  }

 private:
  static uint64_t staged(const FileRange& range) noexcept {
    return round_up(range.end - range.begin, kDirectIoAlignment);
  }

  void check(uint32_t layer, const ExpertRef& expert) {
    uint64_t staging = 0;
    for (const FileRange& range : PlaneRanges(plan_, expert).joined()) {
      if (range.end > files_.size(range.file)) {
        throw Error(ErrorCode::kCorruptFile,
                    fmt::format("{}: ends before byte {}, where experts of layer {} lie",
                                files_.path(range.file).string(), range.end, layer));
      }
      staging += staged(range);
    }
    staging_ = std::max(staging_, staging);
  }

  std::vector<const std::byte*> read_ranges(std::span<const FileRange> ranges, ReadContext& context) const {
    std::span<std::byte> room = context.staging(staging_);
    std::vector<const std::byte*> places;
    std::vector<ReadPart> parts;
    for (size_t i = 0; i < ranges.size(); ++i) {
      const FileRange& range = ranges[i];
      const uint64_t size = staged(range);
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
