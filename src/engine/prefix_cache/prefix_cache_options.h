// Limits of the prefix cache and what it says about itself. Values only.
#pragma once

#include <cstdint>
#include <filesystem>

namespace mach {

struct PrefixCacheOptions {
  bool enabled = true;
  uint32_t max_entries = 256;
  uint64_t max_bytes = uint64_t{2} << 30;  // memory, blocks that entries share counted once
  uint32_t block_size = 64;                // tokens: the least that is worth an entry or a reuse

  // Between snapshots of a long prompt, for caches that cannot go back to any earlier length; 0: none of these.
  uint32_t snapshot_interval = 2048;

  std::filesystem::path disk_dir;  // empty: memory only
  uint64_t disk_budget = uint64_t{20} << 30;
};

struct PrefixCacheStats {
  uint32_t entries = 0;
  uint64_t bytes = 0;
  uint64_t lookups = 0;
  uint64_t hits = 0;
  uint64_t disk_hits = 0;      // of the hits, read from disk
  uint64_t cached_tokens = 0;  // that needed no pass
  uint64_t insertions = 0;
  uint64_t evictions = 0;
  uint32_t disk_files = 0;
  uint64_t disk_bytes = 0;
  uint64_t disk_writes = 0;
  uint64_t disk_evictions = 0;
  uint64_t disk_errors = 0;  // files that could not be written or did not hold what they should
};

}  // namespace mach
