#include "experts/plane_ranges.h"

#include <algorithm>
#include <utility>

#include "base/aligned_buffer.h"
#include "base/checked_math.h"
#include "quant/codec.h"

namespace mach {
namespace {

// Reading a little too much in one piece beats a second read.
constexpr uint64_t kMergeGap = uint64_t{64} << 10;

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

}  // namespace

std::vector<FileRange> expert_ranges(const TensorPlan& plan, const ExpertRef& expert) {
  return PlaneRanges(plan, expert).joined();
}

uint64_t staged_bytes(std::span<const FileRange> ranges) noexcept {
  uint64_t sum = 0;
  for (const FileRange& range : ranges) sum += round_up(range.end - range.begin, kDirectIoAlignment);
  return sum;
}

uint64_t read_staging(const TensorPlan& plan) {
  uint64_t most = 0;
  for (const ExpertLayerPlan& layer : plan.experts) {
    for (const ExpertRef& expert : layer.experts)
      most = std::max(most, staged_bytes(expert_ranges(plan, expert)));
  }
  return most;
}

uint64_t read_staging(const SidecarLayout& layout, RecordOrder order) noexcept {
  uint64_t most = 0;
  for (const SidecarLayer& layer : layout.layers) {
    if (!(reordered(layer.record, order) == layer.record)) most = std::max(most, layer.record.size);
  }
  return most;
}

}  // namespace mach
