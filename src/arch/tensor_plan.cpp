#include "arch/tensor_plan.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "mach/error.h"

#include "arch/expert_plan.h"
#include "arch/parameters.h"
#include "arch/registry.h"
#include "arch/skipped_tensors.h"
#include "arch/tensor_lookup.h"
#include "quant/codec.h"

namespace mach {
namespace {

// What may stand before the text model's names; longest first, because some begin with others.
constexpr std::array<std::string_view, 5> kPrefixes = {"model.language_model.", "language_model.model.",
                                                       "language_model.", "model.", ""};
constexpr std::string_view kHead = "lm_head";
constexpr std::string_view kEmbedding = "embed_tokens";

class PlanBuilder {
 public:
  PlanBuilder(const ModelConfig& config, const TensorCatalog& catalog, const PlanOptions& options)
      : config_(config),
        catalog_(catalog),
        options_(options),
        list_(arch_row(config.family).parameters(config)),
        lookup_(catalog, config.quant, plan_.tensors) {}

  TensorPlan build() && {
    plan_.prefix = prefix_ = find_prefix();
    shifted_norms_ = file_has_shifted_norms();
    for (const Parameter& parameter : list_.parameters) {
      if (parameter.name == kHead) continue;
      add(parameter);
    }
    add_head();
    if (!list_.experts.empty()) plan_.layout = add_experts(list_);
    if (options_.mtp) add_mtp();
    sort_out_the_rest();
    plan_.quant = describe_formats();
    return std::move(plan_);
  }

 private:
  const Parameter& parameter(std::string_view name) const {
    return *std::find_if(list_.parameters.begin(), list_.parameters.end(),
                         [&](const Parameter& candidate) { return candidate.name == name; });
  }

  static std::vector<std::string> spellings(const Parameter& parameter) {
    std::vector<std::string> names = {parameter.name};
    names.insert(names.end(), parameter.spellings.begin(), parameter.spellings.end());
    return names;
  }

  // Also settles which spelling this file uses, for complaints about what is missing.
  std::string_view find_prefix() {
    const std::vector<std::string> names = spellings(parameter(kEmbedding));
    for (const std::string_view prefix : kPrefixes) {
      for (spelling_ = 0; spelling_ < names.size(); ++spelling_) {
        if (lookup_.has_module(std::string(prefix) + names[spelling_])) return prefix;
      }
    }
    throw Error(ErrorCode::kCorruptFile,
                fmt::format("{}: tensor {}.weight is missing (also behind \"{}\"): not a {} checkpoint",
                            catalog_.what(), fmt::join(names, ".weight or "),
                            fmt::join(kPrefixes.begin(), kPrefixes.end() - 1, "\", \""), config_.model_type));
  }

  // The stored module of a parameter: the first spelling that is there; else the one to complain about.
  std::string stored_module(const Parameter& parameter) const {
    const std::vector<std::string> names = spellings(parameter);
    for (const std::string& name : names) {
      if (lookup_.has_module(prefix_ + name)) return prefix_ + name;
    }
    return prefix_ + names[std::min(spelling_, names.size() - 1)];
  }

  // Its tensor: modules keep their values in ".weight", parameters that are no module under their own name.
  std::string stored_tensor(const Parameter& parameter) const {
    const std::string module = stored_module(parameter);
    return catalog_.contains(module) ? module : module + ".weight";
  }

  bool file_has_shifted_norms() const {
    if (list_.conv_probe.empty()) return plan_.prefix.starts_with("language_model.");
    const CatalogEntry* conv = catalog_.find(stored_tensor(parameter(list_.conv_probe)));
    return conv != nullptr && conv->shape.rank() == 3 && conv->shape[2] == 1;
  }

  void add(const Parameter& parameter) {
    const std::string module = stored_module(parameter);
    if (!lookup_.has_module(module)) {
      if (parameter.optional) return;
      lookup_.fail(module, "(or the same with .weight) is missing");
    }
    switch (parameter.kind) {
      case ParameterKind::kMatrix:
        plan_.matrices[parameter.name] = lookup_.matrix(module, 0, parameter.rows, parameter.cols).first;
        plan_.matrices[parameter.name].eight_bit = parameter.eight_bit;
        break;
      case ParameterKind::kVector: {
        VectorRef vector =
            lookup_.vector(stored_tensor(parameter), std::array<uint64_t, 2>{parameter.rows, parameter.cols});
        if (parameter.zero_centred && !shifted_norms_) vector.add = 1.0F;
        plan_.vectors[parameter.name] = vector;
        break;
      }
      case ParameterKind::kIntegers:
        plan_.integers[parameter.name] =
            lookup_.integers(stored_tensor(parameter), parameter.rows, parameter.cols);
        break;
    }
  }

  // The head stands outside the text model's prefix in some files, inside in others, or is the embedding.
  void add_head() {
    const Parameter& head = parameter(kHead);
    std::string found;
    for (const std::string& name : spellings(head)) {
      for (const std::string& candidate : {name, "language_model." + name, plan_.prefix + name}) {
        if (found.empty() && lookup_.has_module(candidate)) found = candidate;
      }
    }
    const bool tied = config_.tie_word_embeddings || (found.empty() && list_.head_may_be_absent);
    if (tied) {
      plan_.tied_head = true;
      add_head(plan_.matrices.at(std::string(kEmbedding)));
      head_module_ = found;
      return;
    }
    if (found.empty()) lookup_.fail("lm_head.weight", "is missing, and tie_word_embeddings is false");
    add_head(lookup_.matrix(found, 0, head.rows, head.cols).first);
  }
  void add_head(WeightRef matrix) {
    matrix.eight_bit = parameter(kHead).eight_bit;
    plan_.matrices[std::string(kHead)] = std::move(matrix);
  }

  // All layers or none: a hole would only show when a token is routed into it.
  ExpertLayout add_experts(const ParameterList& list) {
    const bool may_be_absent = options_.experts_in_sidecar || config_.quant.gguf_experts;
    ExpertLayout layout = ExpertLayout::kSidecar;
    for (const ExpertLayer& layer : list.experts) {
      std::vector<std::string> bases;
      for (const std::string& base : layer.bases) bases.push_back(prefix_ + base);
      auto found = find_experts(config_, layer.layer, list.fused_experts_in_out, bases, lookup_);
      const bool first = &layer == &list.experts.front();
      if (!found && may_be_absent && layout == ExpertLayout::kSidecar) continue;
      if (!found) fail_without_experts(bases);
      if (!first && layout == ExpertLayout::kSidecar)
        fail_without_experts({prefix_ + list.experts.front().bases.front()});
      layout = found->layout;
      plan_.experts.push_back(std::move(found->plan));
    }
    return layout;
  }

  // The block stands beside the text model, not inside its prefix. Its first parameter tells whether it is there: files
  // without it, or with a remnant of it, are complete models.
  void add_mtp() {
    const ArchRow& row = arch_row(config_.family);
    if (row.mtp_parameters == nullptr || config_.mtp_layers == 0) return;
    const ParameterList mtp = row.mtp_parameters(config_);
    for (const std::string_view prefix : {"", "language_model.", "model."}) {
      prefix_ = prefix;
      if (!lookup_.has_module(stored_module(mtp.parameters.front()))) continue;
      for (const Parameter& parameter : mtp.parameters) add(parameter);
      add_experts(mtp);
      plan_.mtp_layers = config_.mtp_layers;
      return;
    }
  }

  [[noreturn]] void fail_without_experts(const std::vector<std::string>& bases) const {
    throw Error(
        ErrorCode::kCorruptFile,
        fmt::format(
            "{}: no routed experts under {}, must hold experts.gate_up_proj, experts.0.gate_proj.weight "
            "... or switch_mlp.gate_proj.weight",
            catalog_.what(), fmt::join(bases, " or ")));
  }

  void sort_out_the_rest() {
    for (const auto& [name, entry] : catalog_.tensors()) {
      if (lookup_.used(entry)) continue;
      if (std::string reason = reason_to_skip(name); !reason.empty()) {
        plan_.skipped.push_back({name, std::move(reason)});
      } else {
        plan_.unused.push_back(name);
      }
    }
  }

  std::string reason_to_skip(std::string_view name) const {
    if (!head_module_.empty() && name.starts_with(head_module_ + ".")) {
      return fmt::format("tied to {}", kEmbedding);
    }
    for (const ParameterList::Ignored& ignored : list_.ignored) {
      if (name.starts_with(plan_.prefix + ignored.prefix)) return ignored.reason;
    }
    return std::string(skip_reason(name));
  }

  // Of the experts where there are any: they are most of the bytes.
  std::string describe_formats() const {
    if (!plan_.experts.empty()) return weight_format_label(plan_.experts.front().experts.front().gate.format);
    if (plan_.layout == ExpertLayout::kSidecar)
      return config_.quant.gguf_experts ? "gguf experts" : "sidecar experts";
    return weight_format_label(plan_.matrices.at("layers.0.mlp.gate_proj").format);
  }

  const ModelConfig& config_;
  const TensorCatalog& catalog_;
  PlanOptions options_;
  ParameterList list_;
  TensorPlan plan_;
  TensorLookup lookup_;
  std::string prefix_;   // of the names that are being planned
  size_t spelling_ = 0;  // of the embedding: 0 = canonical
  bool shifted_norms_ = false;
  std::string head_module_;  // stored although the head is tied
};

template <class Map>
const typename Map::mapped_type* find_in(const Map& map, std::string_view name) noexcept {
  const auto it = map.find(name);
  return it == map.end() ? nullptr : &it->second;
}

template <class Map>
const typename Map::mapped_type& require_in(const Map& map, std::string_view kind, std::string_view name) {
  if (const auto* value = find_in(map, name)) return *value;
  throw Error(ErrorCode::kInternal, fmt::format("the tensor plan has no {} named {}", kind, name));
}

}  // namespace

uint64_t WeightRef::bytes() const noexcept { return matrix_bytes(format, rows, cols); }

uint64_t VectorRef::bytes() const noexcept { return count * codec_row(type).bits.front() / 8; }

uint64_t ExpertRef::bytes() const noexcept {
  uint64_t sum = gate.bytes() + up.bytes() + down.bytes();
  for (const auto* bias : {&gate_bias, &up_bias, &down_bias}) {
    if (*bias) sum += (*bias)->bytes();
  }
  return sum;
}

std::string_view expert_layout_name(ExpertLayout layout) noexcept {
  switch (layout) {
    case ExpertLayout::kNone:
      return "none";
    case ExpertLayout::kStacked:
      return "stacked";
    case ExpertLayout::kSliced:
      return "sliced";
    case ExpertLayout::kSidecar:
      return "sidecar";
  }
  return "";
}

std::string weight_format_label(const WeightFormat& format) {
  const std::string_view name = codec_row(format.codec).name;
  switch (format.codec) {
    case CodecId::kF32:
    case CodecId::kF16:
    case CodecId::kBF16:
      return std::string(name);
    case CodecId::kAffine:
      return fmt::format("{} {}-bit g{}", name, format.bits, format.group);
    case CodecId::kMxFp4:
    case CodecId::kMxFp8:
    case CodecId::kNvFp4:
    case CodecId::kFp8Block:
      return fmt::format("{} ({}-bit)", name, format.bits);
  }
  return "";
}

const WeightRef& TensorPlan::matrix(std::string_view name) const {
  return require_in(matrices, "matrix", name);
}
const VectorRef& TensorPlan::vector(std::string_view name) const {
  return require_in(vectors, "vector", name);
}
const IntRef& TensorPlan::integer(std::string_view name) const {
  return require_in(integers, "integer table", name);
}
const WeightRef* TensorPlan::find_matrix(std::string_view name) const noexcept {
  return find_in(matrices, name);
}
const VectorRef* TensorPlan::find_vector(std::string_view name) const noexcept {
  return find_in(vectors, name);
}

const ExpertLayerPlan* TensorPlan::experts_of(uint32_t layer) const noexcept {
  const auto it =
      std::lower_bound(experts.begin(), experts.end(), layer,
                       [](const ExpertLayerPlan& plan, uint32_t wanted) { return plan.layer < wanted; });
  return it != experts.end() && it->layer == layer ? &*it : nullptr;
}

TensorPlan build_tensor_plan(const ModelConfig& config, const TensorCatalog& catalog,
                             const PlanOptions& options) {
  return PlanBuilder(config, catalog, options).build();
}

}  // namespace mach
