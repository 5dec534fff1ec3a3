// Where the facts of a check come from: the files of a model that say what it is, never its weights. MODEL is a folder, a
// snapshot in the hub cache, or a repository of the hub, of which config.json, the shard index, expert_sidecar/layout.json
// and the safetensors headers (by range request) are fetched once and kept:
//   CACHE/check/models--ORG--NAME/refs/<revision>          the commit, 40 hex digits
//   CACHE/check/models--ORG--NAME/<commit>/config.json, headers/<shard>, ... , listing.json (written last)
// Single-threaded use; fetching runs a few threads of its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "io/hub/hub_client.h"
#include "io/hub_cache.h"
#include "io/model_dir.h"
#include "io/tensor_catalog.h"

namespace mach {

// config.json and sidecar layouts; the largest published config has 60 KB.
inline constexpr uint64_t kMaxCheckedConfigBytes = uint64_t{16} << 20;

class ModelSource {
 public:
  virtual ~ModelSource() = default;

  virtual std::string name() const = 0;  // as a user would write it
  // The folder with the weights, for commands to run and files to probe; empty for a repository that is not here.
  virtual std::optional<std::filesystem::path> folder() const = 0;
  // Names the source of config.json in errors.
  virtual std::string config_name() const = 0;
  // Throws Error{kNotFound, kTooLarge, kIo}.
  virtual std::string config_text() const = 0;
  // Headers of all shards. Throws Error{kNotFound, kCorruptFile, kIo}. Empty: not read, see catalog_note().
  virtual std::optional<TensorCatalog> catalog() const = 0;
  virtual std::string catalog_note() const { return {}; }  // why catalog() is empty
  virtual bool has_file(const std::string& path) const = 0;
  // The text of a small file; empty where there is none.
  virtual std::optional<std::string> text(const std::string& path) const = 0;
  virtual std::optional<uint64_t> file_size(const std::string& path) const = 0;
};

std::unique_ptr<ModelSource> local_source(ModelDirectory directory);

struct SourceOptions {
  std::string revision;              // empty: what MODEL says, else main
  bool local_only = false;           // no network
  std::filesystem::path cache_root;  // mach's own
  HubEnvironment hub;                // where downloaded checkpoints lie
  HubSettings settings;
  HttpClient::Cancelled cancelled;
  // Told what was done instead, e.g. that the hub cannot be reached and an older copy is used.
  std::function<void(const std::string&)> warn;
};

// A folder if one of that name exists, else a snapshot of the hub cache, else the hub. Throws Error{kNotFound} saying
// where it looked, kUsage for what is neither a folder nor an id, and what HubClient throws.
std::unique_ptr<ModelSource> open_model_source(const std::string& model, const SourceOptions& options);

}  // namespace mach
