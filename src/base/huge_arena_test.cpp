#include "base/huge_arena.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

namespace mach {
namespace {

TEST(HugeArena, PiecesAreAlignedAndDoNotOverlap) {
  HugeArena arena;
  std::vector<std::span<std::byte>> pieces;
  // Small ones, one that needs a block of its own, and small ones again.
  for (const uint64_t size : {1ULL, 64ULL, 0ULL, 1000ULL, 200ULL << 20, 65ULL, 3ULL << 20})
    pieces.push_back(arena.take(size));
  for (size_t i = 0; i < pieces.size(); ++i) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pieces[i].data()) % kVectorAlignment, 0U);
    const size_t touched = std::min<size_t>(pieces[i].size(), 4096);
    std::memset(pieces[i].data(), static_cast<int>(i + 1), touched);
    if (!pieces[i].empty()) pieces[i].back() = static_cast<std::byte>(i + 1);
  }
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].empty()) continue;
    EXPECT_EQ(pieces[i].front(), static_cast<std::byte>(i + 1));
    EXPECT_EQ(pieces[i].back(), static_cast<std::byte>(i + 1));
  }
}

TEST(HugeArena, ABlockOfItsOwnLeavesTheRestOfTheOneBefore) {
  HugeArena arena;
  const auto before = arena.take(64);
  arena.take(uint64_t{256} << 20);
  EXPECT_EQ(arena.take(64).data(), before.data() + 64);
}

}  // namespace
}  // namespace mach
