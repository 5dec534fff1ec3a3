// The routed experts of a synthetic checkpoint straight into expert_sidecar/, an expert at a time: rows are made where the plan
// of the same tensors in shards would find them, and go through the sidecar's own writer.
#pragma once

#include <filesystem>
#include <span>

#include "arch/model_config.h"
#include "base/thread_pool.h"
#include "synth/checkpoint_writer.h"
#include "synth/storage_plan.h"

namespace mach::synth {

// Is this a tensor of routed experts?
bool is_expert_tensor(const SynthTensor& tensor) noexcept;

// `tensors` are all of the checkpoint's. Bytes of the layer files; progress as write_shards().
uint64_t write_sidecar(const std::filesystem::path& folder, const ModelConfig& config,
                       std::span<const SynthTensor> tensors, ThreadPool& pool, const WriteProgress& progress);

}  // namespace mach::synth
