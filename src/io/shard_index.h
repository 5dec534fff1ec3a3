// model.safetensors.index.json: which shard file holds which tensor. Names are checked to be plain file names of the
// same folder. `metadata.total_size` is ignored: writers disagree about what it counts.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mach {

inline constexpr uint64_t kMaxShardIndexBytes = uint64_t{256} << 20;

struct ShardIndex {
  std::vector<std::string> shards;                       // file names, ascending
  std::map<std::string, uint32_t, std::less<>> tensors;  // tensor name -> index into shards
};

// Throws kCorruptFile naming `what` and the entry at fault.
ShardIndex parse_shard_index(std::string_view json, std::string_view what);

// Why `name` cannot be a shard's file name; null when it can.
const char* shard_name_fault(std::string_view name) noexcept;

}  // namespace mach
