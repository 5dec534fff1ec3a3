#include "base/thread_pool.h"

#include <atomic>
#include <numeric>
#include <set>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "support/expect_error.h"

namespace mach {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

double process_cpu_seconds() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

class ThreadPoolTest : public ::testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, ::testing::Values(1, 2, 3, 8));

TEST_P(ThreadPoolTest, RunsEveryChunkOnceInManyRegions) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.threads(), GetParam());
  for (size_t region = 0; region < 2000; ++region) {
    const size_t chunks = region % 23;
    std::vector<int> count(chunks,
                           0);  // plain ints: run() itself must order the workers' writes before our reads
    pool.run(chunks, [&](size_t chunk, size_t) { ++count[chunk]; });
    ASSERT_EQ(count, std::vector<int>(chunks, 1));
  }
}

TEST_P(ThreadPoolTest, AWorkerRunsOneChunkAtATime) {
  ThreadPool pool(GetParam());
  std::vector<int> busy(pool.threads(), 0);
  std::vector<size_t> done(pool.threads(), 0);
  for (int region = 0; region < 50; ++region) {
    pool.run(64, [&](size_t, size_t worker) {
      EXPECT_EQ(busy.at(worker)++, 0);
      ++done[worker];
      --busy[worker];
    });
  }
  EXPECT_EQ(std::accumulate(done.begin(), done.end(), size_t{0}), 50U * 64U);
}

TEST_P(ThreadPoolTest, ResultsOfOneRegionAreVisibleInTheNext) {
  ThreadPool pool(GetParam(), microseconds(0));  // no spinning: every region goes through sleep and wake
  std::vector<uint64_t> values(100, 1);
  for (int region = 0; region < 200; ++region) {
    std::vector<uint64_t> next(values.size());
    pool.run(values.size(),
             [&](size_t i, size_t) { next[i] = values[i] + values[(i + 1) % values.size()] % 1000; });
    values = next;
  }
  std::vector<uint64_t> expected(100, 1);
  for (int region = 0; region < 200; ++region) {
    std::vector<uint64_t> next(expected.size());
    for (size_t i = 0; i < next.size(); ++i)
      next[i] = expected[i] + expected[(i + 1) % expected.size()] % 1000;
    expected = next;
  }
  EXPECT_EQ(values, expected);
}

TEST_P(ThreadPoolTest, RethrowsTheFirstExceptionAndStaysUsable) {
  ThreadPool pool(GetParam());
  for (int region = 0; region < 100; ++region) {
    std::atomic<size_t> started{0};
    EXPECT_MACH_ERROR(pool.run(1000,
                               [&](size_t chunk, size_t) {
                                 ++started;
                                 if (chunk == 5) throw Error(ErrorCode::kCorruptFile, "expert 5 is broken");
                               }),
                      ErrorCode::kCorruptFile, ::testing::HasSubstr("expert 5"));
    EXPECT_LE(started.load(), 1000U);
    std::atomic<size_t> count{0};
    pool.run(10, [&](size_t, size_t) { ++count; });
    EXPECT_EQ(count.load(), 10U);
  }
}

TEST_P(ThreadPoolTest, OneOfManyExceptionsComesOut) {
  ThreadPool pool(GetParam());
  EXPECT_THROW(pool.run(100, [](size_t, size_t) { throw std::runtime_error("each"); }), std::runtime_error);
}

TEST_P(ThreadPoolTest, RangesCoverAllItemsOnce) {
  ThreadPool pool(GetParam());
  for (const size_t items : {0U, 1U, 7U, 64U, 65U}) {
    for (const size_t grain : {0U, 1U, 8U, 100U}) {
      std::vector<int> count(items, 0);
      pool.run_ranges(items, grain, [&](size_t begin, size_t end, size_t) {
        EXPECT_LT(begin, end);
        EXPECT_LE(end - begin, std::max<size_t>(grain, 1));
        for (size_t i = begin; i < end; ++i) ++count[i];
      });
      EXPECT_EQ(count, std::vector<int>(items, 1));
    }
  }
}

TEST(ThreadPool, ARegionInsideAChunkIsRefused) {
  ThreadPool pool(2);
  EXPECT_MACH_ERROR(pool.run(2, [&](size_t, size_t) { pool.run(2, [](size_t, size_t) {}); }),
                    ErrorCode::kInternal, ::testing::HasSubstr("while a region runs"));
}

TEST(ThreadPool, WorkersReallyTakePart) {
  ThreadPool pool(2);
  std::atomic<int> arrived{0};
  // Each chunk waits until the other has begun, so the region can only end when two threads work.
  pool.run(2, [&](size_t, size_t) {
    ++arrived;
    while (arrived.load() < 2) std::this_thread::yield();
  });
  EXPECT_EQ(arrived.load(), 2);
}

TEST(ThreadPool, AHeldUpChunkDoesNotHoldUpTheOthers) {
  ThreadPool pool(2);
  std::atomic<int> others{0};
  // Whoever gets chunk 0 waits for all others, so the other thread has to take every one of them.
  pool.run(100, [&](size_t chunk, size_t) {
    if (chunk != 0) {
      ++others;
      return;
    }
    while (others.load() < 99) std::this_thread::yield();
  });
  EXPECT_EQ(others.load(), 99);
}

TEST(ThreadPool, ASingleChunkRunsInTheCaller) {
  ThreadPool pool(4);
  std::set<size_t> workers;
  std::thread::id thread;
  pool.run(1, [&](size_t, size_t worker) {
    workers.insert(worker);
    thread = std::this_thread::get_id();
  });
  EXPECT_EQ(workers, std::set<size_t>{0});
  EXPECT_EQ(thread, std::this_thread::get_id());
}

TEST(ThreadPool, TheCallerSleepsWhileALongChunkRunsElsewhere) {
  ThreadPool pool(2, microseconds(10));
  std::atomic<bool> worker_has_chunk{false};
  const double before = process_cpu_seconds();
  pool.run(2, [&](size_t, size_t worker) {
    if (worker == 0) {
      while (!worker_has_chunk.load()) std::this_thread::sleep_for(microseconds(100));
      return;
    }
    worker_has_chunk.store(true);
    std::this_thread::sleep_for(milliseconds(300));
  });
  EXPECT_LT(process_cpu_seconds() - before, 0.15);
}

TEST(ThreadPool, AnIdlePoolTakesNoProcessorTime) {
  ThreadPool pool(8);
  pool.run(64, [](size_t, size_t) {});
  std::this_thread::sleep_for(milliseconds(50));
  const double before = process_cpu_seconds();
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_LT(process_cpu_seconds() - before, 0.02);
}

}  // namespace
}  // namespace mach
