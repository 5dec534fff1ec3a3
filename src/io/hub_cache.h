// The Hugging Face cache on disk, read-only: where it lies, and which snapshot folder "ORG/NAME[@revision]" means.
//   ROOT/models--ORG--NAME/refs/main               40 hex digits
//   ROOT/models--ORG--NAME/snapshots/<40 hex>/...  links to ../../blobs/<etag>; may be partial
// Source: hub cache documentation (huggingface_hub), specs of formats section 3.2.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mach {

// The environment variables that decide, as values, so that tests and servers need no process environment.
struct HubEnvironment {
  std::optional<std::string> hf_hub_cache;
  std::optional<std::string> huggingface_hub_cache;  // older name of the same
  std::optional<std::string> hf_home;
  std::optional<std::string> xdg_cache_home;
  std::optional<std::string> transformers_cache;  // older still
  std::optional<std::string> home;

  static HubEnvironment from_process();  // a variable set to "" counts as unset
};

// The cache folder new files go to.
std::filesystem::path hub_cache_root(const HubEnvironment& environment);
// All folders to look in, that one first, then those older variables name; no repeats.
std::vector<std::filesystem::path> hub_cache_roots(const HubEnvironment& environment);

struct HubModelId {
  std::string repo;               // "ORG/NAME" or "NAME"
  std::string revision = "main";  // branch, tag, "refs/pr/1" or 40 hex digits

  std::string folder_name() const;  // "models--ORG--NAME"
};

// Empty when `text` is no "ORG/NAME[@revision]".
std::optional<HubModelId> parse_hub_model_id(std::string_view text);

struct HubSnapshot {
  std::filesystem::path folder;      // .../snapshots/<commit>
  std::filesystem::path repository;  // .../models--ORG--NAME; links may not leave it
  std::string commit;
};

// The first usable snapshot among the roots: config.json and all weight files are there. Throws kNotFound with every
// place that was looked at and what was wrong with it.
HubSnapshot find_hub_snapshot(const HubModelId& id, const HubEnvironment& environment);

// What keeps a snapshot from being used ("shard x.safetensors is missing"); empty when it is whole.
std::optional<std::string> snapshot_fault(const std::filesystem::path& folder,
                                          const std::filesystem::path& repository);

}  // namespace mach
