// Both KV caches against the simplest model of one: a list of every row that was committed. Random passes
// (committed or discarded), truncations, snapshots, restores and saved copies; after each step every row that
// the next query may see must be the one that was written last.
#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "mach/error.h"

#include "base/half.h"
#include "model/caches/paged_kv.h"
#include "model/caches/ring_kv.h"
#include "model/state_io.h"

namespace mach {
namespace {

constexpr uint32_t kNoWindow = 1U << 30;

struct Case {
  const char* name;
  KvShape shape;
  uint32_t window;  // kNoWindow: paged
  uint32_t rollback;
};

std::unique_ptr<KvCache> make_cache(const Case& c) {
  if (c.window == kNoWindow) return std::make_unique<PagedKv>(c.shape);
  return std::make_unique<RingKv>(c.shape, c.window, c.rollback);
}

// What was written at a position is told by one number per row; small enough to be exact in bf16.
float value_of(uint32_t stamp, uint32_t column, bool is_value) {
  return static_cast<float>((stamp * 7 + column * 3 + (is_value ? 1 : 0)) % 251);
}

void write_row(KvCache& cache, uint32_t position, uint32_t stamp) {
  const uint32_t width = cache.shape().kv_heads * cache.shape().head_dim;
  std::vector<float> k(width);
  std::vector<float> v(width);
  for (uint32_t c = 0; c < width; ++c) {
    k[c] = value_of(stamp, c, false);
    v[c] = value_of(stamp, c, true);
  }
  cache.write(select_kernel_set(kNoFeatures), position, k, v);
}

float element_at(const std::byte* row, uint32_t dim, uint32_t i, KvElement element) {
  switch (element) {
    case KvElement::kF32:
      return load_f32(row + size_t{i} * 4);
    case KvElement::kBF16:
      return load_bf16(row + size_t{i} * 2);
    case KvElement::kQ8:
      return load_f32(row + dim) * static_cast<float>(static_cast<int>(row[i]) - 128);
  }
  return 0;
}

// Every row of [begin, begin + stamps.size()) is the one written with its stamp.
void expect_rows(const KvCache& cache, uint32_t begin, std::span<const uint32_t> stamps) {
  std::vector<KvRun> runs;
  const auto end = begin + static_cast<uint32_t>(stamps.size());
  cache.runs(begin, end, runs);
  uint32_t next = begin;
  const KvShape& shape = cache.shape();
  const double error = shape.element == KvElement::kQ8 ? 250.0 / 127 / 2 + 0.01 : 0;  // half a step
  for (const KvRun& run : runs) {
    ASSERT_EQ(run.begin, next);
    for (uint32_t i = 0; i < run.count; ++i) {
      for (uint32_t h = 0; h < shape.kv_heads; ++h) {
        for (uint32_t c = 0; c < shape.head_dim; ++c) {
          const size_t row = (size_t{h} * run.head_stride + i) * shape.head_bytes();
          const uint32_t column = h * shape.head_dim + c;
          const uint32_t stamp = stamps[next + i - begin];
          const float k = element_at(run.k + row, shape.head_dim, c, shape.element);
          const float v = element_at(run.v + row, shape.head_dim, c, shape.element);
          ASSERT_NEAR(k, value_of(stamp, column, false), error) << next + i;
          ASSERT_NEAR(v, value_of(stamp, column, true), error) << next + i;
        }
      }
    }
    next += run.count;
  }
  ASSERT_EQ(next, end);
}

void expect_visible(const KvCache& cache, const Case& c, const std::vector<uint32_t>& stamps) {
  ASSERT_EQ(cache.length(), stamps.size());
  const auto length = static_cast<uint32_t>(stamps.size());
  const uint32_t begin = length >= c.window ? length - (c.window - 1) : 0;
  expect_rows(cache, begin, std::span(stamps).subspan(begin));
}

std::vector<std::byte> saved(const LayerCache& cache) {
  StateWriter writer;
  cache.save(writer);
  return writer.finish();
}

class KvCacheTest : public ::testing::TestWithParam<Case> {};

TEST_P(KvCacheTest, HoldsWhatWasWrittenUnderRandomOperations) {
  const Case& c = GetParam();
  std::mt19937 random(1234);
  const auto below = [&random](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  auto cache = make_cache(c);
  std::vector<uint32_t> stamps;
  uint32_t furthest = 0;  // longest length since the last restore: bounds the rollback of a ring
  uint32_t stamp = 0;
  std::unique_ptr<LayerSnapshot> snapshot;
  std::vector<uint32_t> snapshot_stamps;

  for (int step = 0; step < 400; ++step) {
    const uint32_t action = below(10);
    if (action < 6) {  // a pass: short ones as in decode, or a chunk
      const uint32_t tokens = 1 + (below(4) == 0 ? below(150) : below(6));
      cache->stage(tokens);
      std::vector<uint32_t> grown = stamps;
      for (uint32_t i = 0; i < tokens; ++i) {
        grown.push_back(++stamp);
        write_row(*cache, static_cast<uint32_t>(stamps.size()) + i, stamp);
      }
      const auto length = static_cast<uint32_t>(stamps.size());
      const uint32_t begin = length >= c.window ? length - (c.window - 1) : 0;
      expect_rows(*cache, begin, std::span(grown).subspan(begin));  // what the pass's own attention sees
      if (below(5) == 0) {
        cache->discard();
      } else {
        cache->commit();
        stamps = std::move(grown);
        furthest = std::max(furthest, static_cast<uint32_t>(stamps.size()));
      }
    } else if (action == 6) {
      const uint32_t bound = cache->truncatable_to();
      ASSERT_LE(bound, cache->length());
      if (c.window == kNoWindow) {
        ASSERT_EQ(bound, 0U);
      }
      if (furthest == stamps.size()) {
        ASSERT_LE(bound, furthest > c.rollback ? furthest - c.rollback : 0);
      }
      const uint32_t to = bound + below(cache->length() - bound + 1);
      cache->truncate(to);
      stamps.resize(to);
    } else if (action == 7) {
      snapshot = cache->snapshot();
      snapshot_stamps = stamps;
    } else if (action == 8 && snapshot) {
      cache->restore(*snapshot);
      ASSERT_EQ(cache->truncatable_to(), snapshot->truncatable_to());
      stamps = snapshot_stamps;
      furthest = kNoWindow;  // only as far back as the snapshot's own rows; not asserted any more
    } else if (action == 9) {
      const auto bytes = saved(*cache);
      StateReader reader(bytes, "test");
      cache = make_cache(c);
      cache->load(reader);
      reader.expect_end();
      furthest = kNoWindow;
    }
    ASSERT_NO_FATAL_FAILURE(expect_visible(*cache, c, stamps)) << "step " << step;
  }
}

TEST_P(KvCacheTest, TruncatesToZeroFromAnywhere) {
  auto cache = make_cache(GetParam());
  for (uint32_t n : {200U, 1U, 3U}) {
    cache->stage(n);
    for (uint32_t i = 0; i < n; ++i) write_row(*cache, i, i + n);
    cache->commit();
    cache->truncate(0);
    EXPECT_EQ(cache->length(), 0U);
    EXPECT_EQ(cache->truncatable_to(), 0U);
  }
}

TEST_P(KvCacheTest, RefusesASavedCacheOfAnotherShape) {
  Case other = GetParam();
  other.shape.head_dim *= 2;
  auto cache = make_cache(GetParam());
  const auto bytes = saved(*make_cache(other));
  StateReader reader(bytes, "test");
  EXPECT_THROW(cache->load(reader), Error);
}

constexpr KvShape kSmall{.kv_heads = 2, .head_dim = 4, .element = KvElement::kF32};
constexpr KvShape kHalf{.kv_heads = 1, .head_dim = 6, .element = KvElement::kBF16};
constexpr KvShape kByte{.kv_heads = 2, .head_dim = 8, .element = KvElement::kQ8};

INSTANTIATE_TEST_SUITE_P(
    Kinds, KvCacheTest,
    ::testing::Values(Case{"paged_f32", kSmall, kNoWindow, 0}, Case{"paged_bf16", kHalf, kNoWindow, 0},
                      Case{"paged_q8", kByte, kNoWindow, 0}, Case{"ring_q8", kByte, 16, 8},
                      Case{"ring_f32", kSmall, 16, 8}, Case{"ring_bf16", kHalf, 128, 32},
                      Case{"ring_window_1", kSmall, 1, 0}, Case{"ring_no_rollback", kSmall, 7, 0}),
    [](const auto& param) { return param.param.name; });

TEST(PagedKv, SequencesShareAPrefixUntilTheyWriteIntoIt) {
  PagedKv first(kSmall);
  first.stage(100);
  for (uint32_t i = 0; i < 100; ++i) write_row(first, i, i);
  first.commit();
  const auto prefix = first.snapshot();
  EXPECT_EQ(prefix->bytes(), 0U);  // all blocks are the cache's too

  PagedKv second(kSmall);
  second.restore(*prefix);
  second.stage(1);
  write_row(second, 100, 777);
  second.commit();
  first.stage(1);
  write_row(first, 100, 888);
  first.commit();

  std::vector<uint32_t> stamps(101);
  for (uint32_t i = 0; i < 100; ++i) stamps[i] = i;
  stamps[100] = 777;
  expect_rows(second, 0, stamps);
  stamps[100] = 888;
  expect_rows(first, 0, stamps);

  // The full block is still one piece of memory; of the partly filled one there are three now.
  const uint64_t block = PagedKv::kBlockTokens * kSmall.token_bytes();
  std::map<const void*, uint64_t> pieces;
  const auto later = first.snapshot();
  for (const auto* snapshot : {prefix.get(), later.get()}) {
    snapshot->visit_memory([&](const void* piece, uint64_t bytes) { pieces[piece] = bytes; });
  }
  EXPECT_EQ(pieces.size(), 3U);
  EXPECT_EQ(first.bytes(), 2 * block);
  EXPECT_EQ(prefix->bytes(), block);
}

}  // namespace
}  // namespace mach
