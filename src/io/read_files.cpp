#include "io/read_files.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>

#include "mach/error.h"

#include "base/errno_error.h"

namespace mach {
namespace {

struct stat status_of(const Fd& fd, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw errno_error("cannot look at " + path.string(), errno);
  return status;
}

int64_t modified_ns(const struct stat& status) noexcept {
  return int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

}  // namespace

ReadFiles::ReadFiles(std::vector<std::filesystem::path> paths) {
  files_.reserve(paths.size());
  for (std::filesystem::path& path : paths) {
    File file;
    file.buffered = open_file(path, O_RDONLY);
    file.size = file_size(file.buffered, path);
    file.modified_ns = modified_ns(status_of(file.buffered, path));
    file.direct = Fd(::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    file.path = std::move(path);
    files_.push_back(std::move(file));
  }
}

bool ReadFiles::all_direct() const noexcept {
  return std::all_of(files_.begin(), files_.end(), [](const File& file) { return file.direct.valid(); });
}

void ReadFiles::check_unchanged(size_t index) const {
  const File& file = files_.at(index);
  const struct stat status = status_of(file.buffered, file.path);
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size == file.size && modified_ns(status) == file.modified_ns) return;
  throw Error(ErrorCode::kIo, file.path.string() + " changed while it was in use" +
                                  (size == file.size ? ""
                                                     : " (from " + std::to_string(file.size) + " to " +
                                                           std::to_string(size) + " bytes)"));
}

}  // namespace mach
