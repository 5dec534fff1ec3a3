#include "io/tensor_catalog.h"

#include <algorithm>

#include "mach/error.h"

#include "base/quoted_name.h"

namespace mach {
namespace {

CatalogEntry entry_of(const TensorInfo& tensor, uint32_t shard) {
  return {tensor.dtype, tensor.unknown_dtype, tensor.shape, shard, tensor.offset, tensor.size};
}

CatalogShard shard_of(const ShardHeader& shard) {
  return {shard.name, shard.header.file_size(), shard.header.data_begin()};
}

[[noreturn]] void refuse(const std::string& what, const std::string& problem) {
  throw Error(ErrorCode::kCorruptFile, what + ": " + problem);
}

}  // namespace

TensorCatalog TensorCatalog::build(std::span<const ShardHeader> shards, const ShardIndex* index,
                                   std::string_view what) {
  TensorCatalog catalog;
  catalog.what_ = what;
  if (index != nullptr) {
    for (const std::string& listed : index->shards) {
      const bool present =
          std::any_of(shards.begin(), shards.end(), [&](const auto& s) { return s.name == listed; });
      if (!present) refuse(catalog.what_, "the shard index lists " + listed + ", which is missing");
    }
  }
  for (const ShardHeader& shard : shards) {
    const auto number = static_cast<uint32_t>(catalog.shards_.size());
    catalog.shards_.push_back(shard_of(shard));
    for (const std::string& warning : shard.header.warnings()) catalog.warnings_.push_back(warning);
    for (const TensorInfo& tensor : shard.header.tensors()) {
      if (index != nullptr) {
        const auto mapped = index->tensors.find(tensor.name);
        if (mapped == index->tensors.end() || index->shards[mapped->second] != shard.name) {
          catalog.unmapped_.push_back({tensor.name, shard.name});
          continue;
        }
      }
      const auto [place, added] = catalog.tensors_.try_emplace(tensor.name, entry_of(tensor, number));
      if (!added) {
        refuse(catalog.what_, "tensor " + quoted_name(tensor.name) + " is both in " +
                                  catalog.shards_[place->second.shard].name + " and in " + shard.name +
                                  ", and no shard index says which one counts");
      }
    }
  }
  if (index != nullptr && catalog.tensors_.size() != index->tensors.size()) {
    for (const auto& [name, number] : index->tensors) {
      if (!catalog.contains(name)) {
        refuse(catalog.what_, "the shard index says that tensor " + quoted_name(name) + " is in " +
                                  index->shards[number] + ", but that file does not contain it");
      }
    }
  }
  return catalog;
}

void TensorCatalog::add_shard(const ShardHeader& shard) {
  const auto number = static_cast<uint32_t>(shards_.size());
  shards_.push_back(shard_of(shard));
  for (const std::string& warning : shard.header.warnings()) warnings_.push_back(warning);
  for (const TensorInfo& tensor : shard.header.tensors()) {
    if (!tensors_.try_emplace(tensor.name, entry_of(tensor, number)).second) {
      unmapped_.push_back({tensor.name, shard.name});
    }
  }
}

const CatalogEntry* TensorCatalog::find(std::string_view name) const noexcept {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const CatalogEntry& TensorCatalog::at(std::string_view name) const {
  const CatalogEntry* entry = find(name);
  if (entry == nullptr) refuse(what_, "there is no tensor " + quoted_name(name));
  return *entry;
}

uint64_t TensorCatalog::total_bytes() const noexcept {
  uint64_t bytes = 0;
  for (const auto& [name, entry] : tensors_) bytes += entry.size;
  return bytes;
}

}  // namespace mach
