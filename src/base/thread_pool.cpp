#include "base/thread_pool.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include <pthread.h>

#include "mach/error.h"

#include "base/futex.h"

namespace mach {
namespace {

// Looks at `done` for up to `spin`; false when the time is over. The clock is read every 64 looks, about once
// a microsecond.
template <class Done>
bool spin_until(std::chrono::nanoseconds spin, const Done& done) noexcept {
  constexpr int kLooksPerClockRead = 64;
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < kLooksPerClockRead; ++i) {
      if (done()) return true;
      spin_pause();
    }
  } while (std::chrono::steady_clock::now() - start < spin);
  return false;
}

constexpr uint64_t share_of(uint64_t begin, uint64_t end) noexcept { return begin | end << 32; }
constexpr uint64_t begin_of(uint64_t share) noexcept { return share & 0xffff'ffffU; }
constexpr uint64_t end_of(uint64_t share) noexcept { return share >> 32; }
constexpr uint64_t left_in(uint64_t share) noexcept { return end_of(share) - begin_of(share); }

class RunningGuard {
 public:
  explicit RunningGuard(std::atomic<bool>& running) : running_(running) {
    if (running_.exchange(true, std::memory_order_acquire)) {
      throw Error(ErrorCode::kInternal, "ThreadPool::run was called while a region runs");
    }
  }
  RunningGuard(const RunningGuard&) = delete;
  RunningGuard& operator=(const RunningGuard&) = delete;
  ~RunningGuard() { running_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool>& running_;
};

}  // namespace

ThreadPool::ThreadPool(size_t threads, std::chrono::nanoseconds spin)
    : shares_(std::max<size_t>(threads, 1)), spin_(spin) {
  const size_t count = shares_.size() - 1;
  workers_.reserve(count);
  try {
    for (size_t i = 0; i < count; ++i) workers_.emplace_back([this, i] { worker_loop(i + 1); });
  } catch (const std::system_error& error) {
    const std::string started = std::to_string(workers_.size());
    stop_workers();
    throw Error(ErrorCode::kIo, "cannot start compute thread " + started + " of " + std::to_string(count) +
                                    ": " + error.code().message());
  }
}

ThreadPool::~ThreadPool() { stop_workers(); }

void ThreadPool::stop_workers() noexcept {
  stop_.store(true);
  region_.fetch_add(1);
  futex_wake_all(region_);
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(size_t chunk_count, FunctionRef<void(size_t, size_t)> body) {
  if (chunk_count == 0) return;
  const RunningGuard guard(running_);
  if (chunk_count == 1 || workers_.empty()) {
    for (size_t chunk = 0; chunk < chunk_count; ++chunk) body(chunk, 0);
    return;
  }
  if (chunk_count > UINT32_MAX)
    throw Error(ErrorCode::kInternal, "ThreadPool::run: " + std::to_string(chunk_count) + " chunks");
  body_ = &body;
  unfinished_.store(static_cast<int64_t>(chunk_count), std::memory_order_relaxed);
  for (size_t i = 0; i < shares_.size(); ++i) {  // from here on workers may claim
    shares_[i].chunks.store(
        share_of(chunk_count * i / shares_.size(), chunk_count * (i + 1) / shares_.size()),
        std::memory_order_release);
  }
  // Sequentially consistent on both sides: either we see the sleeper, or it sees the new region before it sleeps.
  region_.fetch_add(1);
  if (sleepers_.load() > 0) futex_wake_all(region_);
  work(0);
  wait_until_finished();
  const std::lock_guard lock(exception_mutex_);
  if (exception_) std::rethrow_exception(std::exchange(exception_, nullptr));
}

void ThreadPool::run_ranges(size_t items, size_t grain, FunctionRef<void(size_t, size_t, size_t)> body) {
  grain = std::max<size_t>(grain, 1);
  run(items / grain + (items % grain != 0 ? 1 : 0), [&](size_t chunk, size_t worker) {
    const size_t begin = chunk * grain;
    body(begin, std::min(grain, items - begin) + begin, worker);
  });
}

void ThreadPool::worker_loop(size_t worker) {
  ::pthread_setname_np(::pthread_self(), "mach-compute");
  uint32_t seen = 0;
  for (;;) {
    seen = wait_for_region(seen);
    if (stop_.load()) return;
    work(worker);
  }
}

uint32_t ThreadPool::wait_for_region(uint32_t seen) noexcept {
  uint32_t now = seen;
  const auto changed = [&]() noexcept { return (now = region_.load(std::memory_order_acquire)) != seen; };
  if (spin_until(spin_, changed)) return now;
  sleepers_.fetch_add(1);
  while ((now = region_.load()) == seen) futex_wait(region_, seen);
  sleepers_.fetch_sub(1);
  return now;
}

// Takes a chunk from the front of the worker's own share, or from the back of the fullest one.
bool ThreadPool::claim(size_t worker, size_t& chunk) noexcept {
  std::atomic<uint64_t>& own = shares_[worker].chunks;
  uint64_t share = own.load(std::memory_order_relaxed);
  while (left_in(share) > 0) {
    if (!own.compare_exchange_weak(share, share + 1, std::memory_order_acquire, std::memory_order_relaxed))
      continue;
    chunk = begin_of(share);
    return true;
  }
  for (;;) {
    Share* fullest = nullptr;
    uint64_t seen = 0;
    for (Share& other : shares_) {
      const uint64_t now = other.chunks.load(std::memory_order_relaxed);
      if (left_in(now) <= left_in(seen)) continue;
      fullest = &other;
      seen = now;
    }
    if (fullest == nullptr) return false;
    const uint64_t rest = share_of(begin_of(seen), end_of(seen) - 1);
    if (!fullest->chunks.compare_exchange_strong(seen, rest, std::memory_order_acquire,
                                                 std::memory_order_relaxed)) {
      continue;
    }
    chunk = end_of(rest);
    return true;
  }
}

int64_t ThreadPool::drop_unclaimed() noexcept {
  uint64_t dropped = 0;
  for (Share& share : shares_) dropped += left_in(share.chunks.exchange(0, std::memory_order_relaxed));
  return static_cast<int64_t>(dropped);
}

// Whoever has claimed a chunk keeps the region open until it reports, so body_ stays as it is. A worker that comes
// late may claim chunks of the next region, even by a comparison with what it read in this one: just as well.
void ThreadPool::work(size_t worker) noexcept {
  int64_t done = 0;
  for (size_t chunk = 0; claim(worker, chunk);) {
    ++done;
    try {
      (*body_)(chunk, worker);
    } catch (...) {
      {
        const std::lock_guard lock(exception_mutex_);
        if (!exception_) exception_ = std::current_exception();
      }
      done += drop_unclaimed();
    }
  }
  if (done > 0) finish_chunks(done);
}

void ThreadPool::finish_chunks(int64_t count) noexcept {
  if (unfinished_.fetch_sub(count) != count) return;
  // The caller may be gone already; then this at most wakes it once too often in a later region.
  if (caller_sleeps_.load()) {
    finished_.fetch_add(1);
    futex_wake_all(finished_);
  }
}

void ThreadPool::wait_until_finished() noexcept {
  const auto finished = [&]() noexcept { return unfinished_.load(std::memory_order_acquire) == 0; };
  if (finished() || spin_until(spin_, finished)) return;
  for (;;) {
    const uint32_t ticket = finished_.load();
    caller_sleeps_.store(true);
    if (unfinished_.load() == 0) break;
    futex_wait(finished_, ticket);
  }
  caller_sleeps_.store(false);
}

}  // namespace mach
