#include "base/fd.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errno_error.h"

namespace mach {
namespace {

// Linux moves at most 0x7ffff000 bytes per call; 1 GiB keeps every request aligned.
constexpr size_t kMaxTransfer = size_t{1} << 30;

}  // namespace

void Fd::reset() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Fd open_file(const std::filesystem::path& path, int flags, unsigned mode) {
  for (;;) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, static_cast<mode_t>(mode));
    if (fd >= 0) return Fd(fd);
    if (errno != EINTR) throw errno_error("cannot open " + path.string(), errno);
  }
}

uint64_t file_size(const Fd& fd, const std::filesystem::path& path) {
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) throw errno_error("cannot stat " + path.string(), errno);
  if (!S_ISREG(info.st_mode)) throw Error(ErrorCode::kIo, path.string() + " is not a regular file");
  return static_cast<uint64_t>(info.st_size);
}

void read_exactly(const Fd& fd, uint64_t offset, std::span<std::byte> out,
                  const std::filesystem::path& path) {
  while (!out.empty()) {
    const ssize_t n =
        ::pread(fd.get(), out.data(), std::min(out.size(), kMaxTransfer), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      throw errno_error("cannot read " + std::to_string(out.size()) + " bytes at " + std::to_string(offset) +
                            " of " + path.string(),
                        errno);
    }
    if (n == 0) {
      throw Error(ErrorCode::kIo, path.string() + " ends at byte " + std::to_string(offset) + ", " +
                                      std::to_string(out.size()) + " bytes before the end of a read");
    }
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

void write_all(const Fd& fd, std::span<const std::byte> bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd.get(), bytes.data(), std::min(bytes.size(), kMaxTransfer));
    if (n < 0) {
      if (errno == EINTR) continue;
      throw errno_error("cannot write " + path.string(), errno);
    }
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
}

}  // namespace mach
