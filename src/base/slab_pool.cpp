#include "base/slab_pool.h"

#include <algorithm>

#include "base/checked_math.h"

namespace mach {
namespace {

constexpr size_t kHugeSlab = size_t{2} << 20;
constexpr size_t kSmallSlab = size_t{256} << 10;
constexpr size_t kLargeNeed = size_t{1} << 20;  // announced: worth a huge page
constexpr uint64_t kLargePool = uint64_t{4}
                                << 20;  // from here on a huge page more is a small part of the whole

}  // namespace

struct SlabPool::Slab {
  Slab(size_t piece, size_t size, PageHint pages)
      : piece_bytes(piece), count(size / piece), memory(size, kVectorAlignment, pages) {
    free.reserve(count);
    for (size_t i = count; i-- > 0;) free.push_back(memory.data() + i * piece);
  }
  bool idle() const noexcept { return free.size() == count; }

  size_t piece_bytes;
  size_t count;
  AlignedBuffer memory;
  std::vector<std::byte*> free;  // the last returned is the next handed out
};

SlabPool::SlabPool(Key /*only_make_has_one*/) noexcept {}
SlabPool::~SlabPool() = default;

SlabPool::Piece SlabPool::take(size_t bytes, size_t more) {
  const size_t size = round_up(std::max<size_t>(bytes, 1), kVectorAlignment);
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(slabs_.begin(), slabs_.end(), [&](const auto& slab) {
    return slab->piece_bytes == size && !slab->free.empty();
  });
  Slab& slab = found != slabs_.end() ? **found : add_slab(size, more);
  std::byte* data = slab.free.back();
  slab.free.pop_back();
  return {shared_from_this(), slab, {data, bytes}};
}

SlabPool::Slab& SlabPool::add_slab(size_t bytes, size_t more) {
  const bool huge = bytes * (more + 1) >= kLargeNeed || slab_bytes_ >= kLargePool;
  // At least four pieces to a huge slab: what does not divide it is less than a fifth.
  const size_t size =
      huge ? round_up(std::max(kHugeSlab, 4 * bytes), kHugeSlab) : std::max(kSmallSlab, bytes);
  slabs_.push_back(std::make_unique<Slab>(bytes, size, huge ? PageHint::kHuge : PageHint::kDefault));
  slab_bytes_ += size;
  return *slabs_.back();
}

void SlabPool::give_back(Slab& slab, std::byte* data) noexcept {
  std::unique_ptr<Slab> spare;  // freed after the lock
  const std::lock_guard lock(mutex_);
  slab.free.push_back(data);  // room was reserved
  if (!slab.idle()) return;
  const auto other = std::find_if(slabs_.begin(), slabs_.end(), [&](const auto& each) {
    return each.get() != &slab && each->piece_bytes == slab.piece_bytes && each->idle();
  });
  if (other == slabs_.end()) return;
  const auto self =
      std::find_if(slabs_.begin(), slabs_.end(), [&](const auto& each) { return each.get() == &slab; });
  spare = std::move(*self);
  slabs_.erase(self);
  slab_bytes_ -= spare->memory.size();
}

uint64_t SlabPool::slab_bytes() const {
  const std::lock_guard lock(mutex_);
  return slab_bytes_;
}

}  // namespace mach
