#include "base/slab_pool.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <thread>

#include <gtest/gtest.h>

namespace mach {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

void fill(const SlabPool::Piece& piece, int value) {
  std::memset(piece.bytes().data(), value, piece.bytes().size());
}

bool holds(const SlabPool::Piece& piece, int value) {
  return std::all_of(piece.bytes().begin(), piece.bytes().end(),
                     [&](std::byte b) { return b == std::byte(value); });
}

TEST(SlabPool, PiecesAreAlignedAndApart) {
  const auto pool = SlabPool::make();
  std::map<std::byte*, size_t> taken;
  std::vector<SlabPool::Piece> pieces;
  for (const size_t size : {1U, 63U, 64U, 65U, 4096U, 70'000U, 300'000U, 3'000'000U}) {
    for (int i = 0; i < 20; ++i) {
      pieces.push_back(pool->take(size));
      const auto bytes = pieces.back().bytes();
      ASSERT_EQ(bytes.size(), size);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(bytes.data()) % kVectorAlignment, 0U);
      ASSERT_TRUE(taken.emplace(bytes.data(), size).second);
    }
  }
  std::byte* end = nullptr;
  for (const auto& [data, size] : taken) {
    ASSERT_GE(data, end);
    end = data + size;
  }
}

TEST(SlabPool, AReturnedPieceIsTheNextOne) {
  const auto pool = SlabPool::make();
  auto piece = pool->take(1000);
  const std::byte* data = piece.bytes().data();
  const auto other = pool->take(1000);
  piece = {};
  EXPECT_EQ(pool->take(1000).bytes().data(), data);
}

TEST(SlabPool, AnnouncedNeedsAndLargePoolsGetHugeSlabs) {
  const auto pool = SlabPool::make();
  const auto small = pool->take(10'000);
  EXPECT_LT(pool->slab_bytes(), kMiB);
  const auto announced = pool->take(20'000, 100);
  EXPECT_GE(pool->slab_bytes(), 2 * kMiB);
  EXPECT_LT(pool->slab_bytes(), 3 * kMiB);
  const auto large = pool->take(kMiB, 1);  // four to a slab
  EXPECT_GE(pool->slab_bytes(), 6 * kMiB);
  const uint64_t before = pool->slab_bytes();
  const auto one_more = pool->take(30'000);  // the pool is large by now
  EXPECT_EQ(pool->slab_bytes(), before + 2 * kMiB);
}

TEST(SlabPool, IdleSlabsAreFreedButOne) {
  const auto pool = SlabPool::make();
  std::vector<SlabPool::Piece> pieces;
  for (int i = 0; i < 100; ++i) pieces.push_back(pool->take(kMiB / 8, 99));
  EXPECT_GE(pool->slab_bytes(), 100 * kMiB / 8);
  pieces.clear();
  EXPECT_EQ(pool->slab_bytes(), 2 * kMiB);
}

TEST(SlabPool, APieceOutlivesItsHandle) {
  auto pool = SlabPool::make();
  auto piece = pool->take(5000);
  pool.reset();
  fill(piece, 7);
  EXPECT_TRUE(holds(piece, 7));
}

TEST(SlabPool, ThreadsTakeAndReturnWithoutOverlap) {
  const auto pool = SlabPool::make();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<uint32_t>(t));
      std::vector<SlabPool::Piece> held(8);
      for (int i = 0; i < 2000; ++i) {
        SlabPool::Piece& piece = held[random() % held.size()];
        EXPECT_TRUE(piece.bytes().empty() || holds(piece, t));
        piece = pool->take(64 + random() % 3 * 5000, random() % 300);
        fill(piece, t);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace mach
