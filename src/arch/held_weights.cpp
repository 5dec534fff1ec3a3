#include "arch/held_weights.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "arch/parameters.h"
#include "arch/registry.h"
#include "base/checked_math.h"
#include "quant/packing.h"

namespace mach {
namespace {

// What Linux maps around a page fault where the page cache has it (fault_around_bytes).
constexpr uint64_t kFaultAround = uint64_t{64} << 10;

// The pages of the shards that hold some views.
class MappedPages {
 public:
  explicit MappedPages(const TensorPlan& plan) : plan_(plan) {}

  void add(const WeightRef& ref) {
    add(ref.codes, ref.rows, row_bytes(ref.format, ref.cols));
    const uint64_t scales = scale_row_bytes(ref.format, ref.cols);
    if (ref.scales) add(*ref.scales, scale_rows(ref.format, ref.rows), scales);
    if (ref.biases) add(*ref.biases, scale_rows(ref.format, ref.rows), scales);
  }

  uint64_t bytes() {
    uint64_t sum = 0;
    for (auto& [shard, parts] : parts_) {
      std::sort(parts.begin(), parts.end());
      uint64_t end = 0;
      for (const auto& [first, last] : parts) {
        sum += last - std::min(std::max(first, end), last);
        end = std::max(end, last);
      }
    }
    return sum;
  }

 private:
  void add(const PlaneRef& plane, uint64_t rows, uint64_t row) {
    if (rows == 0) return;
    const TensorLocation& tensor = plan_.tensors[plane.tensor];
    const uint64_t begin = tensor.offset + plane.offset;
    const uint64_t end = begin + (rows - 1) * plane.row_stride + row;
    parts_[tensor.shard].emplace_back(begin - begin % kFaultAround, round_up(end, kFaultAround));
  }

  const TensorPlan& plan_;
  std::map<uint32_t, std::vector<std::pair<uint64_t, uint64_t>>> parts_;  // by shard
};

class Holding {
 public:
  Holding(const ModelConfig& config, const TensorPlan& plan)
      : plan_(plan), copies_rows_(matrix_bytes(plan) >= kHugePagesFrom), pages_(plan) {
    const ParameterList list = arch_row(config.family).parameters(config);
    for (const Parameter& parameter : list.parameters) {
      if (stays_as_stored(parameter)) as_stored_.insert(parameter.name);
    }
  }

  HeldWeights run() {
    HeldWeights out;
    for (const auto& [name, ref] : plan_.matrices) hold(ref, as_stored_.contains(name), out.resident);
    for (const auto& [name, ref] : plan_.vectors) out.resident.copied += ref.count * sizeof(float);
    for (const auto& [name, ref] : plan_.integers)
      out.resident.copied += uint64_t{ref.rows} * ref.cols * sizeof(uint32_t);
    out.resident.mapped = pages_.bytes();
    for (const ExpertLayerPlan& layer : plan_.experts) {
      for (const ExpertRef& expert : layer.experts) {
        for (const auto* ref : {&expert.gate, &expert.up, &expert.down}) hold(*ref, false, out.experts);
        for (const auto* bias : {&expert.gate_bias, &expert.up_bias, &expert.down_bias}) {
          if (*bias) out.experts.copied += (*bias)->count * sizeof(float);
        }
      }
    }
    out.experts.mapped = pages_.bytes() - out.resident.mapped;
    return out;
  }

 private:
  // What is neither turned nor packed nor copied stays mapped.
  void hold(const WeightRef& ref, bool as_stored, HeldBytes& out) {
    out.bf16 = out.bf16 || (!as_stored && ref.format.codec == CodecId::kBF16);
    if (ref.transposed) {
      out.copied += uint64_t{ref.rows} * ref.cols * (ref.format.bits / 8);
    } else if (!as_stored && fast_order(ref.format) == WeightOrder::kPanels) {
      out.packed += ordered_bytes(WeightOrder::kPanels, ref.format, ref.rows, ref.cols);
    } else if (!as_stored && copies_rows_ && is_plain_rows(ref)) {
      out.packed += ordered_bytes(WeightOrder::kRows, ref.format, ref.rows, ref.cols);
    } else {
      pages_.add(ref);
    }
  }

  const TensorPlan& plan_;
  const bool copies_rows_;
  std::set<std::string, std::less<>> as_stored_;
  MappedPages pages_;
};

}  // namespace

uint64_t matrix_bytes(const TensorPlan& plan) noexcept {
  uint64_t sum = 0;
  for (const auto& [name, ref] : plan.matrices) sum += ref.bytes();
  for (const ExpertLayerPlan& layer : plan.experts) {
    for (const ExpertRef& expert : layer.experts)
      sum += expert.gate.bytes() + expert.up.bytes() + expert.down.bytes();
  }
  return sum;
}

bool is_plain_rows(const WeightRef& ref) noexcept {
  return ref.format.scale == ScaleType::kNone && !ref.transposed;
}

HeldWeights held_weights(const ModelConfig& config, const TensorPlan& plan) {
  return Holding(config, plan).run();
}

}  // namespace mach
