// A whole file mapped read-only. The size is that of the open descriptor, so a file replaced by rename after
// open() does no harm; a file truncated in place while mapped raises SIGBUS, which is why data that others
// may rewrite (network folders) is read with read_exactly() instead. Thread-compatible; bytes() may be read
// from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>

namespace mach {

enum class Access : uint8_t {
  kNormal,
  kSequential,  // read ahead, drop behind
  kRandom,      // no read-ahead
  kWillNeed,    // start reading now
  kDontNeed,    // drop from this process; the page cache may keep it
};

class MappedFile {
 public:
  MappedFile() noexcept = default;
  // Throws kNotFound or kIo. An empty file maps to an empty span.
  static MappedFile open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept
      : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    if (this != &other) {
      unmap();
      path_ = std::move(other.path_);
      bytes_ = std::exchange(other.bytes_, {});
    }
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() { unmap(); }

  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  const std::filesystem::path& path() const noexcept { return path_; }

  // A hint for the pages that hold `part` (a piece of bytes()); for kDontNeed only the pages wholly inside.
  // Never fails.
  void advise(Access access, std::span<const std::byte> part) const noexcept;
  void advise(Access access) const noexcept { advise(access, bytes_); }

 private:
  void unmap() noexcept;

  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

}  // namespace mach
