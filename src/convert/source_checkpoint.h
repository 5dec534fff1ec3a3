// A checkpoint that an artifact is made from: its config, where every tensor lies, and its experts as records, whatever the
// layout. Opening reads headers only. Immutable; any thread may read.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include <nlohmann/json.hpp>

#include "arch/model_config.h"
#include "arch/tensor_plan.h"
#include "experts/expert_source.h"
#include "io/checkpoint_files.h"
#include "io/model_dir.h"

namespace mach {

struct SourceCheckpoint {
  ModelDirectory directory;
  nlohmann::ordered_json config_json;  // as it stands in the file
  ModelConfig config;
  CheckpointFiles files;
  TensorPlan plan;                        // with the multi-token prediction block where there is one
  std::unique_ptr<ExpertSource> experts;  // null for a model without

  // `argument` is a folder or a hub id in the cache. Experts come as records in `order`: for a sidecar in the one that
  // fast kernels take, so that nothing is rearranged while a model streams; for safetensors in rows. Throws as loading does.
  static SourceCheckpoint open(std::string_view argument, RecordOrder order = RecordOrder::kFast);
};

}  // namespace mach
