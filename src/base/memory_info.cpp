#include "base/memory_info.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include "mach/error.h"

namespace mach {
namespace {

namespace fs = std::filesystem;

std::optional<uint64_t> parse_number(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

// The number after `key` in a file of "key value" lines; a "kB" after it multiplies by 1024.
std::optional<uint64_t> read_field(const fs::path& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::string_view view = line;
    if (!view.starts_with(key)) continue;
    const std::optional<uint64_t> value = parse_number(view.substr(key.size()));
    if (!value) return std::nullopt;
    return view.ends_with(" kB") ? *value * 1024 : *value;
  }
  return std::nullopt;
}

std::optional<uint64_t> read_number(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return parse_number(line);  // "max" has no digits: no limit
}

// What the two versions of control groups call the same three things.
struct CgroupNames {
  const char* mount;
  const char* limit;
  const char* usage;
  const char* reclaimable;  // a field of memory.stat: page cache that goes away under pressure
};
constexpr CgroupNames kVersion1 = {"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                   "total_inactive_file "};
constexpr CgroupNames kVersion2 = {"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "};

void apply_group(const fs::path& folder, const CgroupNames& names, MemoryInfo& info) {
  const std::optional<uint64_t> limit = read_number(folder / names.limit);
  if (!limit || *limit >= info.total) return;  // version 1 writes "no limit" as a huge number
  const uint64_t usage = read_number(folder / names.usage).value_or(0);
  const uint64_t cache = read_field(folder / "memory.stat", names.reclaimable).value_or(0);
  const uint64_t used = usage - std::min(usage, cache);
  info.cgroup_limit = std::min(info.cgroup_limit.value_or(*limit), *limit);
  info.available = std::min(info.available, *limit - std::min(*limit, used));
}

// Every level from the process's group up to the mount counts. Inside a container the group's path may name
// folders of the host that are not mounted here; levels that do not exist are passed over.
void apply_hierarchy(const fs::path& root, std::string_view group, const CgroupNames& names,
                     MemoryInfo& info) {
  const fs::path mount = root / names.mount;
  fs::path relative = fs::path(group).relative_path().lexically_normal();
  while (!relative.empty() && *relative.begin() != "..") {
    apply_group(mount / relative, names, info);
    relative = relative.parent_path();
  }
  apply_group(mount, names, info);
}

}  // namespace

MemoryInfo read_memory_info(const fs::path& root) {
  const fs::path meminfo = root / "proc/meminfo";
  const std::optional<uint64_t> total = read_field(meminfo, "MemTotal:");
  const std::optional<uint64_t> available = read_field(meminfo, "MemAvailable:");
  if (!total || !available) throw Error(ErrorCode::kIo, meminfo.string() + " lacks MemTotal or MemAvailable");
  MemoryInfo info{*total, *available, std::nullopt};

  // Lines of /proc/self/cgroup: "0::/path" for version 2, "id:controllers:/path" for version 1.
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string_view path = std::string_view(line).substr(second + 1);
    if (controllers == ",,") {
      apply_hierarchy(root, path, kVersion2, info);
    } else if (controllers.find(",memory,") != std::string::npos) {
      apply_hierarchy(root, path, kVersion1, info);
    }
  }
  info.total = std::min(info.total, info.cgroup_limit.value_or(info.total));
  return info;
}

ProcessMemory read_process_memory(const fs::path& root) {
  const fs::path status = root / "proc/self/status";
  const std::optional<uint64_t> rss = read_field(status, "VmRSS:");
  if (!rss) throw Error(ErrorCode::kIo, status.string() + " lacks VmRSS");
  return {*rss, read_field(status, "RssAnon:").value_or(*rss), read_field(status, "VmHWM:").value_or(*rss)};
}

}  // namespace mach
