// How much memory this process may still take: the machine's, and under it every control group (version 1 or
// 2) it runs in. All values in bytes, read afresh on each call.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace mach {

struct MemoryInfo {
  uint64_t total = 0;  // RAM, or the control group's limit where that is lower
  uint64_t available =
      0;  // can be taken without swapping: free plus reclaimable, within every control group's limit
  std::optional<uint64_t> cgroup_limit;  // the lowest limit above this process; empty where none is set
};

struct ProcessMemory {
  uint64_t rss = 0;       // resident now (VmRSS), file mappings included
  uint64_t rss_anon = 0;  // of it, memory not backed by files
  uint64_t peak_rss = 0;  // VmHWM
};

// root: "/", or a folder laid out like one (tests). Throws kIo where /proc/meminfo is missing.
MemoryInfo read_memory_info(const std::filesystem::path& root = "/");
ProcessMemory read_process_memory(const std::filesystem::path& root = "/");

}  // namespace mach
