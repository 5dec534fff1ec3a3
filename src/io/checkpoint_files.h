// The safetensors shards of one checkpoint folder. Which files belong to it: those that model.safetensors.index.json
// lists; without an index model.safetensors; without that all model*.safetensors in name order. Files of other names
// (consolidated*, adapter_model, mtp) and sub-folders (original/, metal/) are not part of it.
// Immutable once open; any thread may read. Every error names the file and the tensor.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "io/tensor_catalog.h"

namespace mach {

struct CheckpointOptions {
  HolePolicy holes = HolePolicy::kRefuse;
  std::vector<std::string> extra_shards;  // further file names in the folder, e.g. "mtp.safetensors"
  // Symbolic links may lead anywhere below this folder; empty: below the checkpoint folder itself, or below the
  // repository folder where it is a snapshot of the hub cache.
  std::filesystem::path link_root;
};

// The files the checkpoint consists of, all present; extra_shards last. Throws kNotFound or kCorruptFile.
std::vector<std::filesystem::path> list_checkpoint_shards(const std::filesystem::path& folder,
                                                          const CheckpointOptions& options = {});

// Reads the headers only. Throws kNotFound (no shards, a listed file is missing), kCorruptFile or kIo.
TensorCatalog read_tensor_catalog(const std::filesystem::path& folder, const CheckpointOptions& options = {});

class CheckpointFiles {
 public:
  static CheckpointFiles open(const std::filesystem::path& folder, const CheckpointOptions& options = {});

  const std::filesystem::path& folder() const noexcept { return folder_; }
  const TensorCatalog& catalog() const noexcept { return catalog_; }
  const CatalogEntry* find(std::string_view name) const noexcept { return catalog_.find(name); }

  // The bytes of an entry of this catalog, at any alignment. Throws kUnsupported when the dtype is not known.
  std::span<const std::byte> data(const CatalogEntry& entry) const;
  std::span<const std::byte> data(std::string_view name) const;

  // The whole shard, for views by file offset (TensorLocation) and for hints.
  const MappedFile& shard(size_t index) const { return files_.at(index); }
  std::filesystem::path shard_path(size_t index) const { return folder_ / catalog_.shards().at(index).name; }

 private:
  CheckpointFiles() = default;

  std::filesystem::path folder_;
  TensorCatalog catalog_;
  std::vector<MappedFile> files_;  // in catalog_.shards() order
};

}  // namespace mach
