// Fd owns one file descriptor; move-only, closed once by the destructor. The functions below it are the only
// places that open and read descriptors with checks: every failure is an Error that names the path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>

namespace mach {

class Fd {
 public:
  Fd() noexcept = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const noexcept { return fd_; }
  bool valid() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }
  void reset() noexcept;

 private:
  int fd_ = -1;
};

// open(2) with O_CLOEXEC added; flags as there, e.g. O_RDONLY or O_RDONLY | O_DIRECT. Throws kNotFound or
// kIo.
Fd open_file(const std::filesystem::path& path, int flags, unsigned mode = 0644);

// The size of an open regular file. Throws kIo for anything else (a folder, a pipe).
uint64_t file_size(const Fd& fd, const std::filesystem::path& path);

// Fills `out` from byte `offset` on, over as many pread calls as it takes. Throws kIo, also when the file is
// shorter.
void read_exactly(const Fd& fd, uint64_t offset, std::span<std::byte> out, const std::filesystem::path& path);

// Writes all bytes at the current position. Throws kIo.
void write_all(const Fd& fd, std::span<const std::byte> bytes, const std::filesystem::path& path);

}  // namespace mach
