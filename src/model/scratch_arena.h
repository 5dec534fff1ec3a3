// Memory for the intermediate values of a forward pass: taken by moving a pointer, given back all at once when
// a Frame ends. After the first passes of a size nothing is allocated any more. Contents are uninitialised.
// Single owner; worker threads may use what was taken before their region began.
//
//   ScratchArena::Frame frame(arena);
//   std::span<float> q = arena.take<float>(rows * width);
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include "base/aligned_buffer.h"

namespace mach {

class ScratchArena {
 public:
  // What is taken while a Frame lives is given back at its end. Frames nest.
  class Frame {
   public:
    explicit Frame(ScratchArena& arena) : arena_(arena), chunk_(arena.chunk_), used_(arena.used_) {
      if (chunk_ == 0 && used_ == 0) arena.join_chunks();
    }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;
    ~Frame() {
      arena_.chunk_ = chunk_;
      arena_.used_ = used_;
    }

   private:
    ScratchArena& arena_;
    size_t chunk_;
    size_t used_;
  };

  // Aligned to 64 bytes. Throws Error{kOutOfBudget}.
  template <class T>
  requires std::is_trivially_destructible_v<T> && std::is_trivially_copyable_v<T> std::span<T> take(
      size_t count) {
    return {reinterpret_cast<T*>(take_bytes(count * sizeof(T))), count};
  }

  size_t bytes() const noexcept {
    size_t sum = 0;
    for (const AlignedBuffer& chunk : chunks_) sum += chunk.size();
    return sum;
  }

 private:
  static constexpr size_t kFirstChunk = size_t{1} << 20;

  std::byte* take_bytes(size_t size) {
    size = (size + kVectorAlignment - 1) / kVectorAlignment * kVectorAlignment;
    while (chunk_ < chunks_.size() && chunks_[chunk_].size() - used_ < size) {
      ++chunk_;
      used_ = 0;
    }
    if (chunk_ == chunks_.size()) chunks_.emplace_back(std::max({size, kFirstChunk, bytes()}));
    std::byte* taken = chunks_[chunk_].data() + used_;
    used_ += size;
    return taken;
  }

  // One chunk that holds what several did; only while nothing is taken.
  void join_chunks() {
    if (chunks_.size() < 2) return;
    const size_t total = bytes();
    chunks_.clear();
    chunks_.emplace_back(total);
  }

  std::vector<AlignedBuffer> chunks_;
  size_t chunk_ = 0;  // taking from chunks_[chunk_] at used_; everything before is taken
  size_t used_ = 0;
};

}  // namespace mach
