// model.safetensors.index.json: what is accepted obeys the rules that later code relies on.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mach/error.h"

#include "io/shard_index.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const mach::ShardIndex index = mach::parse_shard_index(text, "fuzz");
    if (index.tensors.empty() || index.shards.empty()) __builtin_trap();
    for (const auto& [tensor, shard] : index.tensors) {
      if (shard >= index.shards.size()) __builtin_trap();
      const std::string_view name = index.shards[shard];
      if (name.find('/') != std::string_view::npos || !name.ends_with(".safetensors")) __builtin_trap();
    }
  } catch (const mach::Error&) {  // the one way to refuse an index
  }
  return 0;
}
