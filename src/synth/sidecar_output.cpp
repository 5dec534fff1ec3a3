#include "synth/sidecar_output.h"

#include <map>
#include <vector>

#include "mach/error.h"

#include "arch/tensor_plan.h"
#include "experts/sidecar_writer.h"
#include "io/safetensors_header.h"

namespace mach::synth {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 18;

// The tensors as one shard that nobody has written: enough to plan where everything would lie.
TensorPlan plan_of(const ModelConfig& config, std::span<const SynthTensor> tensors) {
  std::vector<TensorSpec> specs;
  uint64_t size = 0;
  for (const SynthTensor& tensor : tensors) {
    specs.push_back(tensor.spec);
    size += tensor.bytes();
  }
  const std::string header = safetensors_header_text(specs);
  std::vector<ShardHeader> shards;
  shards.push_back({"model.safetensors", parse_safetensors_header(std::as_bytes(std::span(header)),
                                                                  header.size() + size, "synthetic")});
  return build_tensor_plan(config, TensorCatalog::build(shards, nullptr, "synthetic"));
}

// One expert of every stacked tensor of a layer, made anew for each.
class ExpertRows {
 public:
  ExpertRows(const TensorPlan& plan, std::span<const SynthTensor> tensors, ThreadPool& pool)
      : plan_(plan), pool_(pool) {
    for (const SynthTensor& tensor : tensors) by_name_.emplace(tensor.spec.name, &tensor);
  }

  ExpertView make(const ExpertLayerPlan& layer, uint32_t expert) {
    expert_ = expert;
    experts_ = layer.experts.size();
    made_.clear();
    const ExpertRef& ref = layer.experts[expert];
    return {view(ref.gate, ref.gate_bias), view(ref.up, ref.up_bias), view(ref.down, ref.down_bias)};
  }

 private:
  MatrixView view(const WeightRef& ref, const std::optional<VectorRef>& bias) {
    MatrixView out;
    out.weight = {.format = ref.format, .rows = ref.rows, .cols = ref.cols, .codes = plane(ref.codes)};
    if (ref.scales) out.weight.scales = plane(*ref.scales);
    if (ref.biases) out.weight.biases = plane(*ref.biases);
    if (bias) out.bias = {bias->type, at(bias->tensor, bias->offset), bias->stride};
    return out;
  }

  Plane plane(const PlaneRef& ref) { return {at(ref.tensor, ref.offset), ref.row_stride}; }

  // Where byte `offset` of a stacked tensor lies in this expert's part of it.
  const std::byte* at(uint32_t tensor, uint64_t offset) {
    const SynthTensor& synth = *by_name_.at(plan_.tensors[tensor].name);
    const uint64_t bytes = synth.bytes() / experts_;
    std::vector<std::byte>& part = parts_[tensor];
    if (made_.emplace(tensor, true).second) {
      part.resize(bytes);
      // A bias row holds one expert's values; a matrix has many rows.
      const uint64_t first = expert_ * (synth.rows / experts_);
      pool_.run_ranges(synth.rows / experts_, std::max<uint64_t>(1, kPieceBytes / synth.row_bytes),
                       [&](size_t begin, size_t end, size_t) {
                         synth.fill(first + begin, std::span(part).subspan(begin * synth.row_bytes,
                                                                           (end - begin) * synth.row_bytes));
                       });
    }
    return part.data() + (offset - expert_ * bytes);
  }

  const TensorPlan& plan_;
  ThreadPool& pool_;
  std::map<std::string, const SynthTensor*, std::less<>> by_name_;
  std::map<uint32_t, std::vector<std::byte>> parts_;  // by tensor of the plan; memory is kept
  std::map<uint32_t, bool> made_;                     // for the expert in hand
  uint64_t expert_ = 0, experts_ = 1;
};

}  // namespace

bool is_expert_tensor(const SynthTensor& tensor) noexcept {
  return tensor.spec.name.find(".experts.") != std::string::npos ||
         tensor.spec.name.find(".switch_mlp.") != std::string::npos;
}

uint64_t write_sidecar(const std::filesystem::path& folder, const ModelConfig& config,
                       std::span<const SynthTensor> tensors, ThreadPool& pool,
                       const WriteProgress& progress) {
  const TensorPlan plan = plan_of(config, tensors);
  std::vector<ExpertLayerSpec> layers = expert_layers(plan);
  for (ExpertLayerSpec& layer : layers) layer.record = reordered(layer.record, RecordOrder::kFast);
  uint64_t total = 0, done = 0;
  for (const ExpertLayerSpec& layer : layers) total += layer.experts * layer.record.size;
  SidecarWriter writer(folder, config.model_type, false);
  ExpertRows rows(plan, tensors, pool);
  for (size_t i = 0; i < layers.size(); ++i) {
    writer.begin_layer(layers[i]);
    for (uint32_t expert = 0; expert < layers[i].experts; ++expert) {
      writer.append(rows.make(plan.experts[i], expert));
      done += layers[i].record.size;
      if (progress && !progress(done, total))
        throw Error(ErrorCode::kCancelled, "writing the sidecar was stopped");
    }
    writer.end_layer();
  }
  writer.finish();
  return total;
}

}  // namespace mach::synth
