#include "tools/demo_model.h"

#include <cstdlib>
#include <sstream>
#include <system_error>

#include "mach/error.h"

namespace mach::tools {
namespace {

constexpr const char* kDemoModel = "mini-qwen3_moe-mlx-4bit";

}  // namespace

std::vector<std::filesystem::path> demo_model_places() {
  std::vector<std::filesystem::path> places;
  if (const char* folders = std::getenv("MACH_MODELS")) {
    std::istringstream list(folders);
    for (std::string folder; std::getline(list, folder, ':');) {
      if (!folder.empty()) places.emplace_back(folder);
    }
  }
  std::error_code no_proc;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", no_proc);
  if (!no_proc) places.push_back(program.parent_path().parent_path() / "share/mach/models");
  places.emplace_back(MACH_INSTALLED_MODELS);
  places.emplace_back(MACH_SOURCE_MODELS);
  return places;
}

std::filesystem::path find_demo_model() {
  std::string searched;
  for (const std::filesystem::path& place : demo_model_places()) {
    std::error_code unreadable;
    if (std::filesystem::exists(place / kDemoModel / "config.json", unreadable)) return place / kDemoModel;
    searched += (searched.empty() ? "" : ", ") + place.string();
  }
  throw Error(ErrorCode::kNotFound, std::string("no model given, and the demo model ") + kDemoModel +
                                        " is not in " + searched +
                                        " (set MACH_MODELS to the folder that has it)");
}

}  // namespace mach::tools
