// Whether a folder holds a block drafter (DFlash) that belongs to a model: its config.json is compared with the model's, its
// safetensors headers give its size. Source of the keys: z-lab DFlash releases, specs of draft models section 2.1.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "arch/model_config.h"
#include "arch/serving_paths.h"

namespace mach {

struct DraftFacts {
  DraftState state = DraftState::kNone;
  std::string fault;   // of kUnusable, one line
  uint64_t bytes = 0;  // of its tensors
};

// Never throws for what is wrong with the folder: that is the answer.
DraftFacts inspect_draft(const std::filesystem::path& folder, const ModelConfig& target);

}  // namespace mach
