#include "convert/source_checkpoint.h"

#include "base/file.h"
#include "io/hub_cache.h"
#include "io/json.h"

namespace mach {
namespace {

constexpr uint64_t kMaxConfigBytes = uint64_t{16} << 20;

}  // namespace

SourceCheckpoint SourceCheckpoint::open(std::string_view argument, RecordOrder order) {
  ModelDirectory directory = ModelDirectory::resolve(argument, HubEnvironment::from_process());
  const std::filesystem::path path = directory.required_file("config.json");
  nlohmann::ordered_json json = parse_ordered_json(read_text_file(path, kMaxConfigBytes), path.string());
  ModelConfig config = parse_model_config(nlohmann::json(json), path.string());
  CheckpointFiles files = CheckpointFiles::open(directory.path(), directory.checkpoint_options());
  auto layout = read_sidecar_layout(directory.path());
  TensorPlan plan =
      build_tensor_plan(config, files.catalog(), {.mtp = true, .experts_in_sidecar = layout.has_value()});
  std::unique_ptr<ExpertSource> experts;
  if (layout) {
    check_sidecar_layout(*layout, config, (directory.path() / kSidecarFolder).string());
    experts = open_sidecar_source(directory.path(), std::move(*layout), true, order);
  } else if (!plan.experts.empty()) {
    std::vector<std::filesystem::path> shards;
    for (size_t i = 0; i < files.catalog().shards().size(); ++i) shards.push_back(files.shard_path(i));
    experts = open_checkpoint_source(std::move(shards), plan, order);
  }
  return {std::move(directory), std::move(json), std::move(config),
          std::move(files),     std::move(plan), std::move(experts)};
}

}  // namespace mach
