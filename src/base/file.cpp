#include "base/file.h"

#include <cerrno>
#include <cstdio>
#include <tuple>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errno_error.h"

namespace mach {
namespace {

// A hidden name in the same folder (rename does not cross file systems) that no other process or thread
// holds.
std::pair<Fd, std::filesystem::path> create_temporary(const std::filesystem::path& path) {
  constexpr int kAttempts = 1000;
  for (int i = 0;; ++i) {
    const std::string name =
        "." + path.filename().string() + "." + std::to_string(::getpid()) + "." + std::to_string(i);
    std::filesystem::path temporary = path.parent_path() / name;
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) return {Fd(fd), std::move(temporary)};
    if (errno == EINTR || (errno == EEXIST && i < kAttempts)) continue;
    throw errno_error("cannot create a file beside " + path.string(), errno);
  }
}

void sync_folder(const std::filesystem::path& file) {
  const std::filesystem::path folder =
      file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  const Fd fd = open_file(folder, O_RDONLY | O_DIRECTORY);
  // Some network file systems refuse fsync on folders; the rename itself has happened.
  if (::fsync(fd.get()) != 0 && errno != EINVAL)
    throw errno_error("cannot flush folder " + folder.string(), errno);
}

}  // namespace

std::string read_text_file(const std::filesystem::path& path, uint64_t max_bytes) {
  const Fd fd = open_file(path, O_RDONLY);
  const uint64_t size = file_size(fd, path);
  if (size > max_bytes) {
    throw Error(ErrorCode::kTooLarge, path.string() + " has " + std::to_string(size) + " bytes; at most " +
                                          std::to_string(max_bytes) + " are accepted");
  }
  std::string text(size, '\0');
  read_exactly(fd, 0, std::as_writable_bytes(std::span(text)), path);
  return text;
}

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  std::tie(fd_, temporary_) = create_temporary(path_);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::move(other.fd_)) {}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) { write_all(fd_, bytes, temporary_); }

void AtomicFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      throw errno_error("cannot write " + temporary_.string(), errno);
    }
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

void AtomicFile::commit() {
  if (::fsync(fd_.get()) != 0) throw errno_error("cannot flush " + temporary_.string(), errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    throw errno_error("cannot rename " + temporary_.string() + " to " + path_.string(), errno);
  }
  temporary_.clear();
  fd_.reset();
  sync_folder(path_);
}

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

}  // namespace mach
