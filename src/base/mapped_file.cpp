#include "base/mapped_file.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/errno_error.h"
#include "base/fd.h"

namespace mach {
namespace {

int advice_of(Access access) noexcept {
  switch (access) {
    case Access::kNormal:
      return MADV_NORMAL;
    case Access::kSequential:
      return MADV_SEQUENTIAL;
    case Access::kRandom:
      return MADV_RANDOM;
    case Access::kWillNeed:
      return MADV_WILLNEED;
    case Access::kDontNeed:
      return MADV_DONTNEED;
  }
  return MADV_NORMAL;
}

}  // namespace

MappedFile MappedFile::open(const std::filesystem::path& path) {
  const Fd fd = open_file(path, O_RDONLY);
  const uint64_t size = file_size(fd, path);
  MappedFile file;
  file.path_ = path;
  if (size == 0) return file;
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (address == MAP_FAILED) throw errno_error("cannot map " + path.string(), errno);
  file.bytes_ = {static_cast<const std::byte*>(address), size};
  return file;
}

void MappedFile::advise(Access access, std::span<const std::byte> part) const noexcept {
  if (part.empty()) return;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  auto begin = reinterpret_cast<uintptr_t>(part.data());
  auto end = begin + part.size();
  if (access == Access::kDontNeed) {
    begin = (begin + page - 1) & ~(page - 1);
    if (part.data() + part.size() != bytes_.data() + bytes_.size()) end &= ~(page - 1);
  } else {
    begin &= ~(page - 1);
  }
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, advice_of(access));
}

void MappedFile::unmap() noexcept {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  bytes_ = {};
}

}  // namespace mach
