#include "engine/prefix_cache/disk_files.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

namespace mach {

double effective_hits(const FileUse& use, int64_t now) noexcept {
  const auto age = static_cast<double>(std::max<int64_t>(now - use.last_used, 0));
  return use.effective_hits * std::exp2(-age / static_cast<double>(DiskFiles::kHalfLife));
}

double file_value(const DiskFiles::File& file, int64_t now) noexcept {
  return (effective_hits(file.use, now) + 1) * file.tokens /
         static_cast<double>(std::max<uint64_t>(file.bytes, 1));
}

FileId DiskFiles::add(File file) {
  bytes_ += file.bytes;
  files_.emplace(next_id_, std::move(file));
  return next_id_++;
}

void DiskFiles::set_bytes(FileId id, uint64_t bytes) {
  File& file = files_.at(id);
  bytes_ += bytes - file.bytes;
  file.bytes = bytes;
}

void DiskFiles::hit(FileId id, int64_t now) {
  FileUse& use = files_.at(id).use;
  use = {effective_hits(use, now) + 1, now};
}

void DiskFiles::remove(FileId id) {
  const auto file = files_.find(id);
  if (file == files_.end()) return;
  bytes_ -= file->second.bytes;
  files_.erase(file);
}

std::optional<FileId> DiskFiles::least_valuable(int64_t now, FileId spare) const {
  std::optional<FileId> least;
  std::tuple<double, int64_t> least_key;
  for (const auto& [id, file] : files_) {
    if (id == spare) continue;
    const std::tuple key(file_value(file, now), file.use.last_used);
    if (least && key >= least_key) continue;
    least = id;
    least_key = key;
  }
  return least;
}

}  // namespace mach
