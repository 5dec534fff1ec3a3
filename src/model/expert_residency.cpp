#include "model/expert_residency.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mach/error.h"

#include "arch/held_weights.h"
#include "arch/sidecar_layout.h"
#include "base/memory_info.h"
#include "experts/bank_size.h"
#include "experts/expert_bank.h"
#include "experts/expert_source.h"
#include "experts/mapped_sidecar.h"
#include "experts/reader_choice.h"
#include "io/checkpoint_files.h"

namespace mach {
namespace {

double gib(uint64_t bytes) { return static_cast<double>(bytes) / (1024.0 * 1024 * 1024); }

// The order that products take: the one resident experts have, so that both ways compute the same bits.
RecordOrder held_order(const WeightStore& weights, Numerics numerics) {
  return weights.packs_experts(numerics) ? RecordOrder::kFast : RecordOrder::kRows;
}

class ExpertOpening {
 public:
  ExpertOpening(const std::filesystem::path& folder, const ModelConfig& config, WeightStore& weights,
                RecordOrder order, const ResidencyOptions& options)
      : folder_(folder), config_(config), weights_(weights), order_(order), options_(options) {
    if (weights.plan().layout == ExpertLayout::kNone) return;
    layout_ = read_sidecar_layout(folder);
    if (layout_) {
      const auto what = folder / kSidecarFolder / kSidecarLayoutFile;
      check_sidecar_layout(*layout_, config, what.string());
      check_sidecar_files(*layout_, folder);
    } else if (weights.plan().layout == ExpertLayout::kSidecar) {
      throw Error(ErrorCode::kNotFound,
                  fmt::format("{}: the routed experts are not in the shards, and there is no {}/{}",
                              folder.string(), kSidecarFolder, kSidecarLayoutFile));
    }
    layers_ = layout_ ? expert_layers(*layout_) : expert_layers(weights.plan());
    for (ExpertLayerSpec& layer : layers_) layer.record = reordered(layer.record, order);
  }

  std::unique_ptr<ExpertProvider> open() {
    if (layers_.empty()) return weights_.resident_experts(config_.layer_count());
    const MemoryInfo memory = read_memory_info();
    const uint64_t all = expert_record_bytes(layers_);
    const uint64_t other = options_.other_bytes +
                           held_weights(config_, weights_.plan(), weights_.float_weights()).resident.total();
    const bool fits = auto_bank_bytes(layers_, memory, other) == all;
    if (options_.mode == ResidencyMode::kResident && !fits) refuse_resident(all, other, memory);
    const bool streaming = options_.mode == ResidencyMode::kStreaming ||
                           (options_.mode == ResidencyMode::kAuto && (!fits || options_.bank_bytes));
    return streaming ? stream(memory, other) : resident();
  }

 private:
  [[noreturn]] static void refuse_resident(uint64_t all, uint64_t other, const MemoryInfo& memory) {
    throw Error(
        ErrorCode::kOutOfBudget,
        fmt::format(
            "all experts resident take {:.2f} GiB, the rest of the model and its context {:.2f} GiB, and "
            "{:.2f} GiB are kept free; {:.2f} GiB are available. Use --streaming",
            gib(all), gib(other), gib(memory_reserve(memory)), gib(memory.available)));
  }

  std::unique_ptr<ExpertProvider> resident() {
    if (!layout_) return weights_.resident_experts(config_.layer_count());
    return resident_sidecar(folder_, *layout_, order_, config_.layer_count(), options_.verify);
  }

  std::unique_ptr<ExpertProvider> stream(const MemoryInfo& memory, uint64_t other) {
    auto source = layout_ ? open_sidecar_source(folder_, *layout_, options_.verify, order_)
                          : open_checkpoint_source(weights_.shard_paths(), weights_.plan(), order_);
    ReaderChoice choice{options_.reader.value_or(ReaderKind::kBuffered), options_.lanes, 0};
    if (!options_.reader || options_.lanes == 0) choice = choose_reader(*source, options_.reader);
    BankOptions bank{.budget_bytes = options_.bank_bytes.value_or(
                         auto_bank_bytes(layers_, memory, other + options_.spare_bytes)),
                     .top_k = config_.moe.top_k,
                     .eviction = options_.eviction,
                     .reader = choice.kind,
                     .lanes = options_.lanes > 0 ? options_.lanes : choice.lanes,
                     .lookahead = options_.lookahead,
                     .hot_list = options_.hot_list};
    // A bank that may hold everything needs room for what reading takes, too.
    if (!options_.bank_bytes && bank.budget_bytes == expert_record_bytes(layers_)) {
      bank.budget_bytes += bank.lanes * source->staging_bytes();
    }
    return std::make_unique<ExpertBank>(std::move(source), bank);
  }

  const std::filesystem::path& folder_;
  const ModelConfig& config_;
  WeightStore& weights_;
  RecordOrder order_;
  const ResidencyOptions& options_;
  std::optional<SidecarLayout> layout_;
  std::vector<ExpertLayerSpec> layers_;
};

}  // namespace

std::unique_ptr<ExpertProvider> open_experts(const std::filesystem::path& folder, const ModelConfig& config,
                                             WeightStore& weights, Numerics numerics,
                                             const ResidencyOptions& options) {
  return ExpertOpening(folder, config, weights, held_order(weights, numerics), options).open();
}

}  // namespace mach
