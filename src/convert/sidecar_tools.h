// The sidecar of an existing checkpoint: made beside its shards, or held against its checksums.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "convert/source_checkpoint.h"

namespace mach {

using ByteProgress =
    std::function<bool(uint64_t done, uint64_t total)>;  // false stops with Error{kCancelled}

// Writes source.directory/expert_sidecar from the experts in the shards; goes on where an earlier run ended. Returns its bytes.
// Throws Error{kInvalidRequest} if the checkpoint has a sidecar already or no routed experts, kOutOfBudget (disk), kIo,
// kCancelled.
uint64_t export_sidecar(const SourceCheckpoint& source, const ByteProgress& progress);

struct SidecarCheck {
  uint64_t bytes = 0;
  uint64_t records = 0;
  std::vector<std::string> faults;  // one line per record that is not what layout.json says
};

// Reads every record. Throws Error{kNotFound} for a checkpoint without a sidecar, and for a layout or files that are wrong as a
// whole.
SidecarCheck verify_sidecar(const std::filesystem::path& checkpoint, const ByteProgress& progress);

}  // namespace mach
