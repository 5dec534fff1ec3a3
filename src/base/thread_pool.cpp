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

ThreadPool::ThreadPool(size_t threads, std::chrono::nanoseconds spin) : spin_(spin) {
  const size_t count = std::max<size_t>(threads, 1) - 1;
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
  body_ = &body;
  chunk_count_ = static_cast<int64_t>(chunk_count);
  unfinished_.store(chunk_count_, std::memory_order_relaxed);
  unclaimed_.store(chunk_count_, std::memory_order_release);  // from here on workers may claim
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

// Whoever has claimed a chunk keeps the region open until it reports, so body_ and chunk_count_ stay as they
// are. A worker that comes late may claim chunks of the next region, which is just as well.
void ThreadPool::work(size_t worker) noexcept {
  int64_t done = 0;
  while (unclaimed_.load(std::memory_order_relaxed) > 0) {
    const int64_t left = unclaimed_.fetch_sub(1, std::memory_order_acquire);
    if (left <= 0) break;
    ++done;
    try {
      (*body_)(static_cast<size_t>(chunk_count_ - left), worker);
    } catch (...) {
      {
        const std::lock_guard lock(exception_mutex_);
        if (!exception_) exception_ = std::current_exception();
      }
      done += std::max<int64_t>(unclaimed_.exchange(0, std::memory_order_relaxed), 0);
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
