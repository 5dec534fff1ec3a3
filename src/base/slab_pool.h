// Memory for many pieces of a few sizes that come and go, such as blocks of a KV cache: cut from slabs, so that a piece costs
// no mapping of its own, a returned piece is handed out again with its pages already present, and large amounts get huge
// pages. The first touch of fresh memory is what makes reading a long saved context slow: a fault for every 4 KiB, each
// many times the cost of copying them.
//
// Slabs are 2 MiB with huge pages when the pool is large or the caller announces a large need, so the slack is at most
// 2 MiB a size; smaller ones of ordinary pages before, which take memory only as they are touched. A slab whose pieces
// are all back is freed, but for one of each size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "base/aligned_buffer.h"

namespace mach {

// Thread-safe. Lives as long as the last of its pieces.
class SlabPool : public std::enable_shared_from_this<SlabPool> {
  struct Slab;
  struct Key {};

 public:
  // Uninitialised, aligned to kVectorAlignment; move-only, goes back to its pool when destroyed.
  class Piece {
   public:
    Piece() noexcept = default;
    Piece(Piece&& other) noexcept
        : pool_(std::move(other.pool_)), slab_(other.slab_), bytes_(std::exchange(other.bytes_, {})) {}
    Piece& operator=(Piece&& other) noexcept {
      std::swap(pool_, other.pool_);
      std::swap(slab_, other.slab_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    Piece(const Piece&) = delete;
    Piece& operator=(const Piece&) = delete;
    ~Piece() {
      if (pool_) pool_->give_back(*slab_, bytes_.data());
    }
    std::span<std::byte> bytes() const noexcept { return bytes_; }

   private:
    friend class SlabPool;
    Piece(std::shared_ptr<SlabPool> pool, Slab& slab, std::span<std::byte> bytes) noexcept
        : pool_(std::move(pool)), slab_(&slab), bytes_(bytes) {}

    std::shared_ptr<SlabPool> pool_;
    Slab* slab_ = nullptr;
    std::span<std::byte> bytes_;
  };

  explicit SlabPool(Key only_make_has_one) noexcept;
  static std::shared_ptr<SlabPool> make() { return std::make_shared<SlabPool>(Key{}); }
  SlabPool(const SlabPool&) = delete;
  SlabPool& operator=(const SlabPool&) = delete;
  ~SlabPool();

  // `more`: pieces of the same size that the caller is about to take. Throws Error{kOutOfBudget}.
  Piece take(size_t bytes, size_t more = 0);

  uint64_t slab_bytes() const;  // of all slabs, touched or not

 private:
  void give_back(Slab& slab, std::byte* data) noexcept;
  Slab& add_slab(size_t bytes, size_t more);

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Slab>> slabs_;  // under the mutex
  uint64_t slab_bytes_ = 0;                   // under the mutex
};

}  // namespace mach
