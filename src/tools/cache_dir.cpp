#include "tools/cache_dir.h"

#include <cstdlib>

namespace mach::tools {

std::filesystem::path cache_root(const std::string& option) {
  if (!option.empty()) return option;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0')
    return std::filesystem::path(cache) / "mach";
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home != nullptr ? home : ".") / ".cache" / "mach";
}

}  // namespace mach::tools
