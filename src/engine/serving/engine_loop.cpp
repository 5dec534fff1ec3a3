#include "engine/serving/engine_loop.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mach/error.h"

#include "engine/serving/active_request.h"
#include "engine/serving/scheduler.h"
#include "model/model.h"

namespace mach {
namespace {

EngineLoopOptions checked(const EngineLoopOptions& options) {
  const std::pair<const char*, uint32_t> positive[] = {
      {"parallel", options.parallel},
      {"max_waiting", options.max_waiting},
      {"context_length", options.context_length},
      {"prefill_chunk", options.prefill_chunk},
      {"interleaved_chunk", options.interleaved_chunk},
      {"prefix_cache_block_size", options.prefix_cache.block_size}};
  for (const auto& [name, value] : positive) {
    if (value == 0) throw Error(ErrorCode::kInvalidRequest, fmt::format("{}: must be at least 1", name));
  }
  return options;
}

}  // namespace

class EngineLoop::Impl {
 public:
  Impl(Parts parts, const EngineLoopOptions& options, Logger log)
      : options_(checked(options)),
        model_(parts.model),
        tokenizer_(parts.tokenizer),
        log_(log),
        scheduler_(std::move(parts), options, std::move(log)) {
    published_ = scheduler_.stats();
    thread_ = std::thread([this] { run(); });
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      draining_ = stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  RequestId submit(EngineRequest request);
  void cancel(RequestId id) noexcept;
  bool drain(std::chrono::milliseconds patience);
  void clear_prefix_cache();
  EngineLoopStats stats() const;

  const EngineLoopOptions& options() const noexcept { return options_; }

 private:
  // What other threads want of the engine thread.
  struct Inbox {
    std::vector<std::shared_ptr<ActiveRequest>> requests;
    std::vector<RequestId> cancelled;
    bool cancel_all = false;
    bool clear_cache = false;
    bool empty() const noexcept {
      return requests.empty() && cancelled.empty() && !cancel_all && !clear_cache;
    }
  };

  void check_room();
  void run();
  void handle(Inbox inbox);
  void publish();

  const EngineLoopOptions options_;
  const Model& model_;
  const Tokenizer& tokenizer_;
  Logger log_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;   // the engine thread has something to do
  std::condition_variable ended_;  // requests have ended
  Inbox inbox_;
  bool stop_ = false;
  bool draining_ = false;
  RequestId next_id_ = 1;
  size_t unstarted_ = 0;  // accepted requests that wait, those in the inbox included
  size_t open_ = 0;       // accepted requests that have not ended
  uint64_t submitted_ = 0;
  uint64_t rejected_ = 0;
  EngineLoopStats published_;

  Scheduler scheduler_;  // engine thread only
  std::thread thread_;
};

// With the lock held.
void EngineLoop::Impl::check_room() {
  if (!draining_ && unstarted_ < options_.max_waiting) return;
  ++rejected_;
  throw Error(ErrorCode::kOverloaded,
              draining_ ? std::string("the server is shutting down")
                        : fmt::format("{} requests are waiting already, the limit", unstarted_));
}

RequestId EngineLoop::Impl::submit(EngineRequest request) {
  RequestId id = 0;
  {
    const std::lock_guard lock(mutex_);
    check_room();
    id = next_id_++;
  }
  // Without the lock: this reads the whole prompt.
  auto active = std::make_shared<ActiveRequest>(id, std::move(request), tokenizer_,
                                                model_.config().vocab_size, options_.context_length);
  {
    const std::lock_guard lock(mutex_);
    check_room();
    inbox_.requests.push_back(std::move(active));
    ++unstarted_;
    ++open_;
    ++submitted_;
  }
  wake_.notify_one();
  return id;
}

void EngineLoop::Impl::cancel(RequestId id) noexcept {
  {
    const std::lock_guard lock(mutex_);
    inbox_.cancelled.push_back(id);
  }
  wake_.notify_one();
}

void EngineLoop::Impl::clear_prefix_cache() {
  {
    const std::lock_guard lock(mutex_);
    inbox_.clear_cache = true;
  }
  wake_.notify_one();
}

bool EngineLoop::Impl::drain(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  draining_ = true;
  const bool in_time = ended_.wait_for(lock, patience, [this] { return open_ == 0; });
  if (in_time) return true;
  inbox_.cancel_all = true;
  wake_.notify_one();
  ended_.wait(lock, [this] { return open_ == 0; });
  return false;
}

EngineLoopStats EngineLoop::Impl::stats() const {
  const std::lock_guard lock(mutex_);
  EngineLoopStats stats = published_;
  stats.waiting = static_cast<uint32_t>(unstarted_);
  stats.draining = draining_;
  stats.submitted = submitted_;
  stats.rejected = rejected_;
  return stats;
}

void EngineLoop::Impl::run() {
  while (true) {
    Inbox inbox;
    bool last = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stop_ || !inbox_.empty() || !scheduler_.idle(); });
      inbox = std::exchange(inbox_, {});
      last = stop_;
    }
    inbox.cancel_all |= last;
    try {
      handle(std::move(inbox));
      if (!scheduler_.idle()) scheduler_.step();
    } catch (const std::exception& e) {
      // A bug or no memory for bookkeeping: every running request may be affected, the loop goes on.
      log_.error("event=engine_step_failed error=\"{}\"", e.what());
      scheduler_.cancel_all();
    }
    if (last) scheduler_.save_prefix_cache();
    publish();
    if (last) return;
  }
}

void EngineLoop::Impl::handle(Inbox inbox) {
  for (auto& request : inbox.requests) scheduler_.add(std::move(request));
  for (const RequestId id : inbox.cancelled) scheduler_.cancel(id);
  if (inbox.cancel_all) scheduler_.cancel_all();
  if (inbox.clear_cache) scheduler_.clear_prefix_cache();
}

void EngineLoop::Impl::publish() {
  {
    const std::lock_guard lock(mutex_);
    published_ = scheduler_.stats();
    unstarted_ = scheduler_.waiting_requests() + inbox_.requests.size();
    open_ = scheduler_.open_requests() + inbox_.requests.size();
  }
  ended_.notify_all();
}

EngineLoop::EngineLoop(Parts parts, const EngineLoopOptions& options, Logger log)
    : impl_(std::make_unique<Impl>(std::move(parts), options, std::move(log))) {}
EngineLoop::~EngineLoop() = default;

RequestId EngineLoop::submit(EngineRequest request) { return impl_->submit(std::move(request)); }
void EngineLoop::cancel(RequestId id) noexcept { impl_->cancel(id); }
bool EngineLoop::drain(std::chrono::milliseconds patience) { return impl_->drain(patience); }
void EngineLoop::clear_prefix_cache() { impl_->clear_prefix_cache(); }
EngineLoopStats EngineLoop::stats() const { return impl_->stats(); }
const EngineLoopOptions& EngineLoop::options() const noexcept { return impl_->options(); }

}  // namespace mach
