#include "io/contained_path.h"

#include <algorithm>
#include <string>
#include <system_error>

#include "mach/error.h"

namespace mach {
namespace {

namespace fs = std::filesystem;

bool is_below(const fs::path& path, const fs::path& root) {
  const auto [rest, ignored] = std::mismatch(root.begin(), root.end(), path.begin(), path.end());
  return rest == root.end();
}

}  // namespace

fs::path default_link_root(const fs::path& folder) {
  std::error_code error;
  const fs::path real = fs::canonical(folder, error);
  if (error) return folder;
  const fs::path snapshots = real.parent_path();
  const fs::path repository = snapshots.parent_path();
  const bool in_cache =
      snapshots.filename() == "snapshots" && repository.filename().string().starts_with("models--");
  return in_cache ? repository : real;
}

std::optional<fs::path> contained_file(const fs::path& folder, std::string_view name,
                                       const fs::path& link_root) {
  const fs::path relative(name);
  const bool climbs = std::find(relative.begin(), relative.end(), fs::path("..")) != relative.end();
  if (name.empty() || relative.is_absolute() || climbs || name.find('\0') != std::string_view::npos) {
    throw Error(ErrorCode::kInternal, "the file name \"" + std::string(name) + "\" is not plain");
  }
  const fs::path path = folder / relative;
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory)
    return std::nullopt;
  if (error) throw Error(ErrorCode::kIo, "cannot resolve " + path.string() + ": " + error.message());
  const fs::path root = fs::canonical(link_root, error);
  if (error) throw Error(ErrorCode::kIo, "cannot resolve " + link_root.string() + ": " + error.message());
  if (!is_below(real, root)) {
    throw Error(ErrorCode::kCorruptFile, path.string() + " is a link to " + real.string() + ", outside " +
                                             root.string() +
                                             "; use a folder that holds the files themselves");
  }
  if (!fs::is_regular_file(real, error)) return std::nullopt;
  return path;
}

}  // namespace mach
