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
  const auto address = [](const std::byte* p) { return reinterpret_cast<uintptr_t>(p); };
  const std::byte* begin = part.data();
  const std::byte* end = begin + part.size();
  if (access == Access::kDontNeed) {
    const size_t to_page = (page - address(begin) % page) % page;
    if (to_page >= part.size()) return;
    begin += to_page;
    if (end != bytes_.data() + bytes_.size()) end -= address(end) % page;
  } else {
    begin -= address(begin) % page;  // the mapping begins at a page, so this stays inside it
  }
  if (begin < end) {
    ::madvise(const_cast<std::byte*>(begin), static_cast<size_t>(end - begin), advice_of(access));
  }
}

void MappedFile::unmap() noexcept {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  bytes_ = {};
}

}  // namespace mach
