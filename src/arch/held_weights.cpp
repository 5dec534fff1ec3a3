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
#include "quant/eight_bit.h"
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
  Holding(const ModelConfig& config, const TensorPlan& plan, FloatWeights floats)
      : plan_(plan), rule_(plan, floats), pages_(plan) {
    const ParameterList list = arch_row(config.family).parameters(config);
    for (const Parameter& parameter : list.parameters) {
      if (stays_as_stored(parameter)) as_stored_.insert(parameter.name);
    }
  }

  HeldWeights run() {
    HeldWeights out;
    for (const auto& [name, ref] : plan_.matrices)
      hold(ref, as_stored_.contains(name), name == "lm_head", out.resident);
    for (const auto& [name, ref] : plan_.vectors) out.resident.copied += ref.count * sizeof(float);
    for (const auto& [name, ref] : plan_.integers)
      out.resident.copied += uint64_t{ref.rows} * ref.cols * sizeof(uint32_t);
    out.resident.mapped = pages_.bytes();
    for (const ExpertLayerPlan& layer : plan_.experts) {
      for (const ExpertRef& expert : layer.experts) {
        for (const auto* ref : {&expert.gate, &expert.up, &expert.down})
          hold(*ref, false, false, out.experts);
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
  void hold(const WeightRef& ref, bool as_stored, bool head, HeldBytes& out) {
    const auto form = as_stored ? std::nullopt : rule_.form(ref);
    out.bf16 = out.bf16 || (!as_stored && (form ? form->format : ref.format).codec == CodecId::kBF16);
    if (ref.transposed) {
      out.copied += uint64_t{ref.rows} * ref.cols * (ref.format.bits / 8);
    } else if (form) {
      out.packed += ordered_bytes(form->order, form->format, ref.rows, ref.cols);
      // The head's rows are read again (model/blocks/head.h).
      if (head && form->format != ref.format) pages_.add(ref);
    } else {
      pages_.add(ref);
    }
  }

  const TensorPlan& plan_;
  const HoldingRule rule_;
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

std::optional<FloatWeights> float_weights_named(std::string_view name) noexcept {
  if (name == "q8") return FloatWeights::kEightBit;
  if (name == "keep") return FloatWeights::kKeep;
  return {};
}

HoldingRule::HoldingRule(const TensorPlan& plan, FloatWeights floats, uint64_t huge_pages_from) noexcept
    : large_(matrix_bytes(plan) >= huge_pages_from), eight_bit_(floats == FloatWeights::kEightBit) {}

std::optional<HoldingRule::Form> HoldingRule::form(const WeightRef& ref) const noexcept {
  if (ref.transposed) return {};
  if (eight_bit_ && ref.eight_bit && can_be_eight_bit(ref.format, ref.cols))
    return Form{WeightOrder::kPanels, kEightBit};
  if (fast_order(ref.format) == WeightOrder::kPanels) return Form{WeightOrder::kPanels, ref.format};
  return form_in_rows(ref);
}

std::optional<HoldingRule::Form> HoldingRule::form_in_rows(const WeightRef& ref) const noexcept {
  const bool plain = ref.format.scale == ScaleType::kNone && !ref.transposed;
  return large_ && plain ? std::optional(Form{WeightOrder::kRows, ref.format}) : std::nullopt;
}

HeldWeights held_weights(const ModelConfig& config, const TensorPlan& plan, FloatWeights floats) {
  return Holding(config, plan, floats).run();
}

}  // namespace mach
