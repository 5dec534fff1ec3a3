// Checkpoints on this machine: folders with a config.json below given roots, and snapshots of the Hugging Face cache. Reads
// configs and file sizes only; what cannot be read or parsed is listed as unsupported, never an error.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/hub_cache.h"

namespace mach {

struct LocalModel {
  std::string name;            // "org/name" from a hub cache, else the folder's path below its root
  std::filesystem::path path;  // the folder with config.json
  std::string model_type;      // empty where config.json does not tell
  bool supported = false;      // the registry has the type and the config parses
  std::string problem;         // why not, one line
  uint64_t bytes = 0;          // of all its files
};

// `roots` may be checkpoints themselves or hold them up to three levels deep. Sorted by name; a folder is listed once.
std::vector<LocalModel> find_local_models(std::span<const std::filesystem::path> roots,
                                          const HubEnvironment& hub);

}  // namespace mach
