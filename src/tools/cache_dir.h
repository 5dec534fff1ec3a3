// mach's own cache folder: --cache-dir, else $XDG_CACHE_HOME/mach, else ~/.cache/mach.
#pragma once

#include <filesystem>
#include <string>

namespace mach::tools {

// `option` is the flag's value, or empty.
std::filesystem::path cache_root(const std::string& option);

}  // namespace mach::tools
