// Where the reference material (specifications, fixtures, mini checkpoints, golden outputs) lies: $MACH_SHARED, else the
// folder `shared` beside the source tree. Tests that need it skip, visibly, where it is absent:
//   const auto shared = mach::testing::shared_dir();
//   if (!shared) GTEST_SKIP() << mach::testing::kNoSharedDir;
#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>

namespace mach::testing {

inline constexpr const char* kNoSharedDir = "reference material not found: set MACH_SHARED to its folder";

inline std::optional<std::filesystem::path> shared_dir() {
  const char* env = std::getenv("MACH_SHARED");
  std::filesystem::path path = env != nullptr ? env : MACH_SOURCE_DIR "/../shared";
  if (!std::filesystem::is_directory(path / "fixtures")) return std::nullopt;
  return path;
}

// The source tree itself, for files the project ships (models/, fuzz/corpus/).
inline std::filesystem::path source_dir() { return MACH_SOURCE_DIR; }

}  // namespace mach::testing
