#include "arch/expert_plan.h"

#include <array>

#include <fmt/format.h>

#include "mach/error.h"

#include "quant/codec.h"

namespace mach {
namespace {

// Modules that hold gate_proj, up_proj and down_proj of all experts, stacked.
constexpr std::array<std::string_view, 3> kStackModules = {"switch_mlp", "experts.switch_glu", "experts"};

// Names of gate, up and down below "experts.7".
struct ProjectionNames {
  std::string_view gate, up, down;
};
constexpr ProjectionNames kSlicedNames[] = {{"gate_proj", "up_proj", "down_proj"}, {"w1", "w3", "w2"}};

PlaneRef moved(PlaneRef plane, uint64_t bytes) {
  plane.offset += bytes;
  return plane;
}

// Rows [begin, begin + rows) of a matrix. The caller keeps begin at a border of scale blocks.
WeightRef row_range(const WeightRef& whole, uint32_t begin, uint32_t rows) {
  WeightRef part = whole;
  part.rows = rows;
  part.codes = moved(whole.codes, begin * whole.codes.row_stride);
  const uint64_t scale_begin = scale_row(whole.format, begin);
  if (whole.scales) part.scales = moved(*whole.scales, scale_begin * whole.scales->row_stride);
  if (whole.biases) part.biases = moved(*whole.biases, scale_begin * whole.biases->row_stride);
  return part;
}

// Every other row, from `first` on.
WeightRef alternate_rows(const WeightRef& whole, uint32_t first) {
  WeightRef part = row_range(whole, first, whole.rows / 2);
  part.codes.row_stride *= 2;
  if (part.scales) part.scales->row_stride *= 2;
  if (part.biases) part.biases->row_stride *= 2;
  return part;
}

VectorRef part_of(const VectorRef& whole, uint64_t begin, uint64_t count, uint32_t step) {
  VectorRef part = whole;
  part.offset += begin * whole.stride;
  part.count = count;
  part.stride = whole.stride * step;
  return part;
}

// One layer's experts under one base, in the layouts' order of search.
class LayerExperts {
 public:
  LayerExperts(const ModelConfig& config, uint32_t layer, bool in_out, std::string base, TensorLookup& lookup)
      : moe_(config.moe),
        count_(config.experts_of(layer)),
        hidden_(config.hidden_size),
        in_out_(in_out),
        base_(std::move(base)),
        lookup_(lookup) {}

  std::optional<ExpertLayout> read(std::vector<ExpertRef>& experts) {
    experts.resize(count_);
    if (lookup_.catalog().contains(base_ + ".experts.gate_up_proj_blocks")) {
      read_blocks(experts);
      return ExpertLayout::kStacked;
    }
    if (lookup_.has_module(base_ + ".experts.gate_up_proj")) {
      in_out_ ? read_transposed(experts) : read_fused(experts);
      return ExpertLayout::kStacked;
    }
    for (const std::string_view module : kStackModules) {
      const std::string stack = fmt::format("{}.{}", base_, module);
      if (!lookup_.has_module(stack + ".gate_proj")) continue;
      read_stacks(stack, experts);
      return ExpertLayout::kStacked;
    }
    for (const ProjectionNames& names : kSlicedNames) {
      if (!lookup_.has_module(fmt::format("{}.experts.0.{}", base_, names.gate))) continue;
      read_sliced(names, experts);
      return ExpertLayout::kSliced;
    }
    return std::nullopt;
  }

 private:
  // MXFP4 of gpt-oss: rows of gate and up take turns.
  void read_blocks(std::vector<ExpertRef>& experts) {
    const StoredMatrix gate_up =
        lookup_.mxfp4_blocks(base_ + ".experts.gate_up_proj", count_, 2 * moe_.intermediate, hidden_);
    const StoredMatrix down =
        lookup_.mxfp4_blocks(base_ + ".experts.down_proj", count_, hidden_, moe_.intermediate);
    for (uint32_t e = 0; e < count_; ++e) {
      experts[e].gate = alternate_rows(gate_up.at(e), 0);
      experts[e].up = alternate_rows(gate_up.at(e), 1);
      experts[e].down = down.at(e);
    }
    read_fused_biases(experts);
  }

  // Floats of gpt-oss: [E, in, out]. down_proj is square in the released models, so only the name tells.
  void read_transposed(std::vector<ExpertRef>& experts) {
    const StoredMatrix gate_up =
        lookup_.transposed(base_ + ".experts.gate_up_proj", count_, 2 * moe_.intermediate, hidden_);
    const StoredMatrix down =
        lookup_.transposed(base_ + ".experts.down_proj", count_, hidden_, moe_.intermediate);
    for (uint32_t e = 0; e < count_; ++e) {
      experts[e].gate = alternate_rows(gate_up.at(e), 0);
      experts[e].up = alternate_rows(gate_up.at(e), 1);
      experts[e].down = down.at(e);
    }
    read_fused_biases(experts);
  }

  void read_fused_biases(std::vector<ExpertRef>& experts) {
    if (!moe_.expert_bias) return;
    const uint32_t width = moe_.intermediate;
    const VectorRef gate_up = lookup_.vector(base_ + ".experts.gate_up_proj_bias",
                                             std::array<uint64_t, 2>{count_, uint64_t{2} * width});
    const VectorRef down =
        lookup_.vector(base_ + ".experts.down_proj_bias", std::array<uint64_t, 2>{count_, hidden_});
    for (uint32_t e = 0; e < count_; ++e) {
      const uint64_t begin = uint64_t{2} * width * e;
      experts[e].gate_bias = part_of(gate_up, begin, width, 2);
      experts[e].up_bias = part_of(gate_up, begin + 1, width, 2);
      experts[e].down_bias = part_of(down, uint64_t{hidden_} * e, hidden_, 1);
    }
  }

  // [E, 2 I, D]: all gate rows, then all up rows.
  void read_fused(std::vector<ExpertRef>& experts) {
    const uint32_t width = moe_.intermediate;
    const std::string name = base_ + ".experts.gate_up_proj";
    const StoredMatrix gate_up = lookup_.matrix(name, count_, 2 * width, hidden_);
    const StoredMatrix down = lookup_.matrix(base_ + ".experts.down_proj", count_, hidden_, width);
    const uint16_t block = gate_up.first.format.block_rows;
    if (block > 1 && width % block != 0) {
      lookup_.unsupported(name, fmt::format("has gate and up in one block of {} rows of scales", block));
    }
    for (uint32_t e = 0; e < count_; ++e) {
      experts[e].gate = row_range(gate_up.at(e), 0, width);
      experts[e].up = row_range(gate_up.at(e), width, width);
      experts[e].down = down.at(e);
    }
  }

  // mlx-lm: three stacks.
  void read_stacks(const std::string& stack, std::vector<ExpertRef>& experts) {
    const uint32_t width = moe_.intermediate;
    const StoredMatrix gate = lookup_.matrix(stack + ".gate_proj", count_, width, hidden_);
    const StoredMatrix up = lookup_.matrix(stack + ".up_proj", count_, width, hidden_);
    const StoredMatrix down = lookup_.matrix(stack + ".down_proj", count_, hidden_, width);
    for (uint32_t e = 0; e < count_; ++e) {
      experts[e].gate = gate.at(e);
      experts[e].up = up.at(e);
      experts[e].down = down.at(e);
    }
    if (!moe_.expert_bias) return;
    const VectorRef gate_bias =
        lookup_.vector(stack + ".gate_proj.bias", std::array<uint64_t, 2>{count_, width});
    const VectorRef up_bias = lookup_.vector(stack + ".up_proj.bias", std::array<uint64_t, 2>{count_, width});
    const VectorRef down_bias =
        lookup_.vector(stack + ".down_proj.bias", std::array<uint64_t, 2>{count_, hidden_});
    for (uint32_t e = 0; e < count_; ++e) {
      experts[e].gate_bias = part_of(gate_bias, uint64_t{width} * e, width, 1);
      experts[e].up_bias = part_of(up_bias, uint64_t{width} * e, width, 1);
      experts[e].down_bias = part_of(down_bias, uint64_t{hidden_} * e, hidden_, 1);
    }
  }

  void read_sliced(const ProjectionNames& names, std::vector<ExpertRef>& experts) {
    const uint32_t width = moe_.intermediate;
    for (uint32_t e = 0; e < count_; ++e) {
      const std::string expert = fmt::format("{}.experts.{}.", base_, e);
      const auto matrix = [&](std::string_view name, uint32_t rows, uint32_t cols) {
        return lookup_.matrix(expert + std::string(name), 0, rows, cols).first;
      };
      experts[e].gate = matrix(names.gate, width, hidden_);
      experts[e].up = matrix(names.up, width, hidden_);
      experts[e].down = matrix(names.down, hidden_, width);
      require_equal_formats(experts[0], experts[e], expert);
      if (!moe_.expert_bias) continue;
      const auto bias = [&](std::string_view name, uint64_t count) {
        return lookup_.vector(fmt::format("{}{}.bias", expert, name), std::array<uint64_t, 1>{count});
      };
      experts[e].gate_bias = bias(names.gate, width);
      experts[e].up_bias = bias(names.up, width);
      experts[e].down_bias = bias(names.down, hidden_);
    }
  }

  // One record layout and one kernel serve all experts of a layer.
  void require_equal_formats(const ExpertRef& first, const ExpertRef& other,
                             const std::string& expert) const {
    if (first.gate.format == other.gate.format && first.up.format == other.up.format &&
        first.down.format == other.down.format) {
      return;
    }
    lookup_.unsupported(expert + "*",
                        "is stored in another format than expert 0 of its layer, must be the same");
  }

  const MoeConfig& moe_;
  uint32_t count_;  // experts of the layer
  uint32_t hidden_;
  bool in_out_;
  std::string base_;
  TensorLookup& lookup_;
};

}  // namespace

std::optional<FoundExperts> find_experts(const ModelConfig& config, uint32_t layer, bool in_out,
                                         const std::vector<std::string>& bases, TensorLookup& lookup) {
  for (const std::string& base : bases) {
    FoundExperts found;
    found.plan.layer = layer;
    const auto layout = LayerExperts(config, layer, in_out, base, lookup).read(found.plan.experts);
    if (!layout) continue;
    found.layout = *layout;
    return found;
  }
  return std::nullopt;
}

}  // namespace mach
