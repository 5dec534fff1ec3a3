// Files of a folder that somebody else filled: a name must be plain, and a symbolic link may not lead out of the root.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

namespace mach {

// The folder below which links inside `folder` may end: models--ORG--NAME where `folder` is one of its snapshots
// (whose files link to ../../blobs), else `folder` itself.
std::filesystem::path default_link_root(const std::filesystem::path& folder);

// folder/name when it is a regular file, empty when nothing is there or a link dangles. `name` is relative and may
// contain folders, but no "..". Throws kCorruptFile where a link leads out of link_root, kIo where it cannot be read.
std::optional<std::filesystem::path> contained_file(const std::filesystem::path& folder,
                                                    std::string_view name,
                                                    const std::filesystem::path& link_root);

}  // namespace mach
