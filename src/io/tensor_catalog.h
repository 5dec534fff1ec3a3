// What a checkpoint holds, from headers alone: every tensor's type, shape and place, over all shards. No weight data is
// read, so checks before loading (or before downloading) work on it. Immutable after it is built; any thread may read.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/safetensors_header.h"
#include "io/shard_index.h"

namespace mach {

struct CatalogEntry {
  DType dtype = DType::kUnknown;
  std::string unknown_dtype;  // as written, where dtype is kUnknown
  Shape shape;
  uint32_t shard = 0;   // index into shards()
  uint64_t offset = 0;  // bytes from the start of the shard file
  uint64_t size = 0;    // bytes

  std::string_view dtype_name() const noexcept {
    return dtype == DType::kUnknown ? std::string_view(unknown_dtype) : dtype_row(dtype).name;
  }
};

struct CatalogShard {
  std::string name;         // the file's name within its folder
  uint64_t file_size = 0;   // bytes
  uint64_t data_begin = 0;  // bytes from the start of the file
};

// A shard's name and header, the raw material of a catalog.
struct ShardHeader {
  std::string name;
  SafetensorsHeader header;
};

class TensorCatalog {
 public:
  using Map = std::map<std::string, CatalogEntry, std::less<>>;

  TensorCatalog() = default;

  // `what` names the checkpoint in errors (its folder or id). With an index the shards are exactly those it lists, and
  // tensors outside its map are left out (unmapped()); without one (null) a tensor may be in one shard only.
  // Throws kCorruptFile.
  static TensorCatalog build(std::span<const ShardHeader> shards, const ShardIndex* index,
                             std::string_view what);

  // Adds the tensors of a further file (a draft head beside the model). Names that are there already stay as they are
  // and go to unmapped().
  void add_shard(const ShardHeader& shard);

  const Map& tensors() const noexcept { return tensors_; }
  const std::vector<CatalogShard>& shards() const noexcept { return shards_; }
  const CatalogEntry* find(std::string_view name) const noexcept;  // null when absent
  // Throws kCorruptFile naming the checkpoint and the tensor.
  const CatalogEntry& at(std::string_view name) const;
  bool contains(std::string_view name) const noexcept { return find(name) != nullptr; }
  uint64_t total_bytes() const noexcept;  // of all tensors

  struct Unmapped {
    std::string tensor;
    std::string shard;
  };
  const std::vector<Unmapped>& unmapped() const noexcept { return unmapped_; }
  const std::vector<std::string>& warnings() const noexcept {
    return warnings_;
  }  // holes, under HolePolicy::kWarn
  const std::string& what() const noexcept { return what_; }

 private:
  std::string what_;
  std::vector<CatalogShard> shards_;
  Map tensors_;
  std::vector<Unmapped> unmapped_;
  std::vector<std::string> warnings_;
};

}  // namespace mach
