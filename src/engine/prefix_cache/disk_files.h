// Which saved prefixes a folder holds and which of them goes first when its budget is used up: the one with the least
// value, (effective hits + 1) * tokens / bytes, where hits lose half their weight per kHalfLife; of equal ones the one not
// used for longest. Pure bookkeeping: no file is touched here. Single owner.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <vector>

#include "engine/prefix_cache/state_file.h"

namespace mach {

using FileId = uint64_t;

class DiskFiles {
 public:
  static constexpr int64_t kHalfLife = 24 * 3600;  // seconds

  struct File {
    std::filesystem::path path;
    uint64_t bytes = 0;
    uint32_t tokens = 0;
    FileUse use;
  };

  FileId add(File file);
  const File& at(FileId id) const { return files_.at(id); }
  bool contains(FileId id) const { return files_.contains(id); }
  void set_bytes(FileId id, uint64_t bytes);
  void hit(FileId id, int64_t now);
  void remove(FileId id);

  // The next to go; `spare` does not.
  std::optional<FileId> least_valuable(int64_t now, FileId spare) const;

  uint64_t bytes() const noexcept { return bytes_; }
  size_t count() const noexcept { return files_.size(); }

 private:
  std::map<FileId, File> files_;
  FileId next_id_ = 1;
  uint64_t bytes_ = 0;
};

double effective_hits(const FileUse& use, int64_t now) noexcept;
double file_value(const DiskFiles::File& file, int64_t now) noexcept;

}  // namespace mach
