// A fixed set of worker threads for parallel regions of a few microseconds: run() gives every worker an equal share of
// consecutive chunks, works along, and returns when every chunk is done. A worker takes its share from the front, so that
// neighbouring chunks follow each other on one core and its streams of memory go on; then it takes from the back of
// whatever share has most left. Between regions workers spin briefly and then sleep in the kernel, so an idle pool takes no
// CPU. run() waits only for chunks that some thread has begun: a worker that the system has not scheduled holds nobody up.
//
// One owner: run() is called by one thread at a time and not from inside a chunk (that throws kInternal).
// Chunks run in any order and on any worker, a single chunk in the caller; what must not depend on the thread
// count must not depend on the worker either.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/function_ref.h"

namespace mach {

class ThreadPool {
 public:
  // Long enough to bridge the serial work between two regions of a decode step; then a worker sleeps.
  static constexpr std::chrono::nanoseconds kDefaultSpin = std::chrono::microseconds(20);

  // threads counts the caller: 1 starts none, 0 is taken as 1.
  explicit ThreadPool(size_t threads, std::chrono::nanoseconds spin = kDefaultSpin);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  size_t threads() const noexcept { return workers_.size() + 1; }

  // Calls body(chunk, worker) once for every chunk in [0, chunk_count); worker is in [0, threads()), 0 for the
  // caller, and no two chunks run with the same worker at once. The first exception is rethrown after the chunks
  // then running have ended; chunks not yet begun are dropped. kInternal for more than 2^32 - 1 chunks.
  void run(size_t chunk_count, FunctionRef<void(size_t chunk, size_t worker)> body);

  // Splits [0, items) into ranges of `grain` items (the last may be shorter): body(begin, end, worker).
  void run_ranges(size_t items, size_t grain,
                  FunctionRef<void(size_t begin, size_t end, size_t worker)> body);

 private:
  void stop_workers() noexcept;
  void worker_loop(size_t worker);
  void work(size_t worker) noexcept;
  bool claim(size_t worker, size_t& chunk) noexcept;
  int64_t drop_unclaimed() noexcept;
  void finish_chunks(int64_t count) noexcept;
  void wait_until_finished() noexcept;
  uint32_t wait_for_region(uint32_t seen) noexcept;

  // Chunks that a worker has still to begin: [low half, high half), in one word so that both ends change at once.
  struct alignas(64) Share {
    std::atomic<uint64_t> chunks{0};
  };

  // The region. A plain member: written while no chunk is claimable, read only by who has claimed a chunk.
  const FunctionRef<void(size_t, size_t)>* body_ = nullptr;
  std::vector<Share> shares_;  // one a worker

  // Each on its own cache line, since all threads write the first.
  alignas(64) std::atomic<int64_t> unfinished_{0};  // chunks claimed or unclaimed, and not done
  alignas(64) std::atomic<uint32_t> region_{0};     // counts regions; workers wait for it to change
  std::atomic<uint32_t> sleepers_{0};               // workers that may be asleep on region_
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<uint32_t> finished_{0};  // changes when a region ends; the caller sleeps on it
  std::atomic<bool> caller_sleeps_{false};
  std::atomic<bool> running_{false};

  std::chrono::nanoseconds spin_;
  std::mutex exception_mutex_;
  std::exception_ptr exception_;  // the first of this region, under the mutex
  std::vector<std::thread> workers_;
};

}  // namespace mach
