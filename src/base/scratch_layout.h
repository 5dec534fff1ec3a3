// Parts of a scratch buffer, each on its own cache line. The same constructor first measures and then divides: over no memory
// every part is null and bytes() tells what a buffer must have.
//   Parts(std::byte* memory) { ScratchLayout layout(memory); sums = layout.take<float>(n); bytes = layout.bytes(); }
#pragma once

#include <cstddef>

#include "base/aligned_buffer.h"
#include "base/checked_math.h"

namespace mach {

class ScratchLayout {
 public:
  // memory: aligned to kVectorAlignment, or null.
  explicit ScratchLayout(std::byte* memory) noexcept : memory_(memory) {}

  template <class T>
  T* take(size_t count) noexcept {
    std::byte* taken = memory_ == nullptr ? nullptr : memory_ + bytes_;
    bytes_ += round_up(count * sizeof(T), kVectorAlignment);
    return reinterpret_cast<T*>(taken);
  }
  size_t bytes() const noexcept { return bytes_; }

 private:
  std::byte* memory_;
  size_t bytes_ = 0;
};

}  // namespace mach
