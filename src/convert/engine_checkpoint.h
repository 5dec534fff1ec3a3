// Writes the engine layout (docs/ARTIFACTS.md) from any checkpoint that mach reads: config.json, the tensors outside the routed
// experts, tokenizer files, and expert_sidecar/ with the kept experts. Memory is bounded by one expert record and a megabyte,
// however large the source.
//
// The artifact is made in OUT.partial and renamed when it is complete and on the device. A run that ends early, by Ctrl-C, a
// full disk or a kill, leaves OUT.partial, which has no config.json and so cannot be loaded; the same command goes on
// with the shard or layer that was being written. A partial folder of another source or plan is begun afresh.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "convert/keep_plan.h"
#include "convert/source_checkpoint.h"

namespace mach {

struct ArtifactOptions {
  std::filesystem::path out;
  KeptExperts kept;
  std::string candidate_id;  // of the plan, for the record; empty: none
  bool sidecar = true;       // false: experts as safetensors, one tensor per expert and projection
  uint64_t shard_bytes = uint64_t{5} << 30;
  // Bytes written so far (those of an earlier run included) and in all; false stops with Error{kCancelled}.
  std::function<bool(uint64_t done, uint64_t total)> progress;
};

struct ArtifactResult {
  std::string name;  // the source's with the kept count: "Qwen3-30B-A3B-k96"
  uint64_t bytes = 0;
  uint64_t reused_bytes = 0;  // from an earlier run
};

// Throws Error{kInvalidRequest} if something stands at `out`, kOutOfBudget where the disk has too little room, kIo, kCancelled,
// and what reading the source throws.
ArtifactResult write_engine_checkpoint(const SourceCheckpoint& source, const ArtifactOptions& options);

}  // namespace mach
