#include "base/aligned_buffer.h"

#include <cstdlib>
#include <string>

#include <sys/mman.h>

#include "mach/error.h"

#include "base/checked_math.h"

namespace mach {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kAddressSpace = size_t{1} << 47;  // of a process; more cannot be had, so it is not asked for

// An anonymous mapping whose start is a multiple of 2 MiB: maps that much more and returns the ends.
std::byte* map_huge(size_t size) noexcept {
  void* raw = ::mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  const auto address = reinterpret_cast<uintptr_t>(raw);
  const size_t before = (kHugePage - address % kHugePage) % kHugePage;
  auto* data = static_cast<std::byte*>(raw) + before;
  if (before > 0) ::munmap(raw, before);
  ::munmap(data + size, kHugePage - before);
  ::madvise(data, size, MADV_HUGEPAGE);  // refused where huge pages are off, which only costs speed
  return data;
}

}  // namespace

AlignedBuffer::AlignedBuffer(size_t size, size_t alignment, PageHint pages) : size_(size) {
  if (size == 0) return;
  const size_t unit = pages == PageHint::kHuge ? kHugePage : alignment;
  if (size < kAddressSpace) {
    const size_t rounded = round_up(size, unit);
    if (pages == PageHint::kHuge) {
      data_ = map_huge(rounded);
      mapped_ = rounded;
    } else {
      data_ = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded));
    }
  }
  if (data_ == nullptr)
    throw Error(ErrorCode::kOutOfBudget, "cannot allocate " + std::to_string(size) + " bytes");
}

void AlignedBuffer::free_memory() noexcept {
  if (mapped_ > 0) {
    ::munmap(data_, mapped_);
  } else {
    std::free(data_);
  }
  data_ = nullptr;
}

}  // namespace mach
