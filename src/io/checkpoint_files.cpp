#include "io/checkpoint_files.h"

#include <algorithm>
#include <optional>
#include <system_error>

#include "mach/error.h"

#include "base/file.h"
#include "base/quoted_name.h"
#include "io/contained_path.h"

namespace mach {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexName = "model.safetensors.index.json";
constexpr std::string_view kSingleName = "model.safetensors";

// The checkpoint's shard files in name order, and its index if it has one.
struct Selection {
  std::vector<std::string> names;
  std::optional<ShardIndex> index;
};

std::vector<std::string> model_files(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (name.starts_with("model") && name.ends_with(".safetensors")) names.push_back(std::move(name));
  }
  if (error) throw Error(ErrorCode::kIo, "cannot list " + folder.string() + ": " + error.message());
  std::sort(names.begin(), names.end());
  return names;
}

Selection select_shards(const fs::path& folder, const fs::path& link_root) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    throw Error(ErrorCode::kNotFound, folder.string() +
                                          " is not a folder; a checkpoint is a folder with config.json "
                                          "and *.safetensors files");
  }
  if (const auto path = contained_file(folder, kIndexName, link_root)) {
    ShardIndex index = parse_shard_index(read_text_file(*path, kMaxShardIndexBytes), path->string());
    return {index.shards, std::move(index)};
  }
  if (contained_file(folder, kSingleName, link_root)) return {{std::string(kSingleName)}, std::nullopt};
  Selection all{model_files(folder), std::nullopt};
  if (all.names.empty()) {
    throw Error(ErrorCode::kNotFound, folder.string() + " has no weights: looked for " +
                                          std::string(kIndexName) + ", " + std::string(kSingleName) +
                                          " and model*.safetensors");
  }
  return all;
}

fs::path link_root_of(const fs::path& folder, const CheckpointOptions& options) {
  return options.link_root.empty() ? default_link_root(folder) : options.link_root;
}

fs::path shard_file(const fs::path& folder, const std::string& name, const fs::path& link_root, bool listed) {
  if (const char* fault = shard_name_fault(name)) {
    throw Error(ErrorCode::kInvalidRequest, "the shard file name " + quoted_name(name) + " " + fault);
  }
  const std::optional<fs::path> path = contained_file(folder, name, link_root);
  if (!path) {
    throw Error(ErrorCode::kNotFound,
                (folder / name).string() + " is missing" +
                    (listed ? ", though " + std::string(kIndexName) + " lists it" : ""));
  }
  return *path;
}

}  // namespace

std::vector<fs::path> list_checkpoint_shards(const fs::path& folder, const CheckpointOptions& options) {
  const fs::path link_root = link_root_of(folder, options);
  const Selection selection = select_shards(folder, link_root);
  std::vector<fs::path> paths;
  for (const std::string& name : selection.names) {
    paths.push_back(shard_file(folder, name, link_root, selection.index.has_value()));
  }
  for (const std::string& name : options.extra_shards)
    paths.push_back(shard_file(folder, name, link_root, false));
  return paths;
}

TensorCatalog read_tensor_catalog(const fs::path& folder, const CheckpointOptions& options) {
  const fs::path link_root = link_root_of(folder, options);
  const Selection selection = select_shards(folder, link_root);
  const auto read = [&](const std::string& name, bool listed) {
    const fs::path path = shard_file(folder, name, link_root, listed);
    return ShardHeader{name, read_safetensors_header(path, options.holes)};
  };
  std::vector<ShardHeader> shards;
  shards.reserve(selection.names.size());
  for (const std::string& name : selection.names) shards.push_back(read(name, selection.index.has_value()));
  TensorCatalog catalog =
      TensorCatalog::build(shards, selection.index ? &*selection.index : nullptr, folder.string());
  for (const std::string& name : options.extra_shards) {
    const bool known =
        std::find(selection.names.begin(), selection.names.end(), name) != selection.names.end();
    if (!known) catalog.add_shard(read(name, false));
  }
  return catalog;
}

CheckpointFiles CheckpointFiles::open(const fs::path& folder, const CheckpointOptions& options) {
  CheckpointFiles files;
  files.folder_ = folder;
  files.catalog_ = read_tensor_catalog(folder, options);
  for (const CatalogShard& shard : files.catalog_.shards()) {
    files.files_.push_back(MappedFile::open(folder / shard.name));
    const uint64_t mapped = files.files_.back().bytes().size();
    if (mapped != shard.file_size) {
      throw Error(ErrorCode::kIo, (folder / shard.name).string() + " changed from " +
                                      std::to_string(shard.file_size) + " to " + std::to_string(mapped) +
                                      " bytes while it was opened");
    }
  }
  return files;
}

std::span<const std::byte> CheckpointFiles::data(const CatalogEntry& entry) const {
  if (entry.dtype == DType::kUnknown) {
    throw Error(ErrorCode::kUnsupported, shard_path(entry.shard).string() + ": a tensor of shape " +
                                             to_string(entry.shape) + " has the dtype " +
                                             quoted_name(entry.unknown_dtype) + ", which mach does not know");
  }
  return shard(entry.shard).bytes().subspan(entry.offset, entry.size);
}

std::span<const std::byte> CheckpointFiles::data(std::string_view name) const {
  const CatalogEntry& entry = catalog_.at(name);
  if (entry.dtype == DType::kUnknown) {
    throw Error(ErrorCode::kUnsupported, shard_path(entry.shard).string() + ": tensor " + quoted_name(name) +
                                             " has the dtype " + quoted_name(entry.unknown_dtype) +
                                             ", which mach does not know");
  }
  return data(entry);
}

}  // namespace mach
