#include "base/huge_arena.h"

#include <algorithm>

#include "base/checked_math.h"

namespace mach {
namespace {

constexpr uint64_t kBlockBytes = uint64_t{128} << 20;

}  // namespace

std::span<std::byte> HugeArena::take(uint64_t size) {
  const uint64_t whole = round_up(size, kVectorAlignment);
  if (whole > rest_.size()) {
    AlignedBuffer block(std::max(whole, kBlockBytes), kVectorAlignment, PageHint::kHuge);
    const auto bytes = block.bytes();
    blocks_.push_back(std::move(block));
    // The larger rest serves what comes next.
    if (bytes.size() - whole <= rest_.size()) return bytes.first(size);
    rest_ = bytes;
  }
  const auto piece = rest_.first(size);
  rest_ = rest_.subspan(whole);
  return piece;
}

}  // namespace mach
