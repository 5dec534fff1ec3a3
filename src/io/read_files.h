// Files that stay open for many reads at known places: descriptors for ordinary and for direct reads, and what the files
// were when they were opened, so that a change underneath is noticed instead of computed with. Immutable; any thread may
// read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "base/fd.h"

namespace mach {

class ReadFiles {
 public:
  // Throws kNotFound or kIo naming the file.
  explicit ReadFiles(std::vector<std::filesystem::path> paths);

  size_t count() const noexcept { return files_.size(); }
  const std::filesystem::path& path(size_t file) const { return files_.at(file).path; }
  uint64_t size(size_t file) const { return files_.at(file).size; }

  const Fd& buffered(size_t file) const { return files_.at(file).buffered; }
  // Opened with O_DIRECT; not valid where the file system refuses that.
  const Fd& direct(size_t file) const { return files_.at(file).direct; }
  bool all_direct() const noexcept;

  // Has the file still the size and modification time it was opened with? (A file replaced by rename does no harm: the
  // old one stays open.) Throws kIo.
  void check_unchanged(size_t file) const;

 private:
  struct File {
    std::filesystem::path path;
    Fd buffered, direct;
    uint64_t size = 0;
    int64_t modified_ns = 0;
  };
  std::vector<File> files_;
};

}  // namespace mach
