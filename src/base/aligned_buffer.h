// Raw memory at a fixed alignment: 64 bytes (a cache line, the widest vector) by default, 4096 for direct
// reads. Uninitialised and move-only. A buffer asked for with huge pages is its own anonymous mapping,
// aligned to 2 MiB, whose pages appear when they are touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace mach {

inline constexpr size_t kVectorAlignment = 64;
inline constexpr size_t kDirectIoAlignment = 4096;

enum class PageHint : uint8_t { kDefault, kHuge };

class AlignedBuffer {
 public:
  AlignedBuffer() noexcept = default;
  // alignment is a power of two, at least 8. Throws kOutOfBudget where the system has no such memory.
  explicit AlignedBuffer(size_t size, size_t alignment = kVectorAlignment,
                         PageHint pages = PageHint::kDefault);

  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        mapped_(std::exchange(other.mapped_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    if (this != &other) {
      free_memory();
      data_ = std::exchange(other.data_, nullptr);
      size_ = std::exchange(other.size_, 0);
      mapped_ = std::exchange(other.mapped_, 0);
    }
    return *this;
  }
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  ~AlignedBuffer() { free_memory(); }

  std::byte* data() noexcept { return data_; }
  const std::byte* data() const noexcept { return data_; }
  size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  std::span<std::byte> bytes() noexcept { return {data_, size_}; }
  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

  // The buffer as whole elements of a trivial type; a remainder is left out.
  template <class T>
  std::span<T> as() noexcept {
    return {reinterpret_cast<T*>(data_), size_ / sizeof(T)};
  }
  template <class T>
  std::span<const T> as() const noexcept {
    return {reinterpret_cast<const T*>(data_), size_ / sizeof(T)};
  }

 private:
  void free_memory() noexcept;

  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t mapped_ = 0;  // length of the mapping behind data_; 0 where it came from aligned_alloc
};

}  // namespace mach
