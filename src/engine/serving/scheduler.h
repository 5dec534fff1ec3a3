// Decides what each forward pass advances, runs it, and hands out what comes of it. The engine loop without its thread:
// everything here happens in the caller, one pass per step(), so that tests can watch each pass. Single owner.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/log.h"
#include "engine/prefix_cache/prefix_cache.h"
#include "engine/serving/active_request.h"
#include "engine/serving/engine_loop.h"
#include "engine/serving/recent_work.h"
#include "engine/serving/sequence.h"

namespace mach {

class Scheduler {
 public:
  Scheduler(EngineLoop::Parts parts, const EngineLoopOptions& options, Logger log);

  void add(std::shared_ptr<ActiveRequest> request);
  void cancel(RequestId id);
  void cancel_all();

  void clear_prefix_cache() { cache_.clear(); }
  void save_prefix_cache() { cache_.save_all(); }

  bool idle() const noexcept { return running_.empty() && waiting_.empty(); }
  // Starts what has room, runs one pass, hands out its tokens. Throws nothing that a request did: those end with it.
  void step();

  uint32_t waiting_requests() const noexcept;
  // Accepted requests that have not ended.
  uint32_t open_requests() const noexcept { return static_cast<uint32_t>(open_); }
  // Everything but what the loop itself counts (submitted, rejected, draining).
  EngineLoopStats stats() const;

 private:
  // A place in the line: a request, or a further choice of one whose prompt is done.
  struct Waiting {
    std::shared_ptr<ActiveRequest> request;
    uint32_t choice = 0;
    std::shared_ptr<const SharedPrompt> prompt;
  };
  struct Batch {
    std::vector<Sequence*> sequences;
    std::vector<SequenceStep> steps;
  };
  enum class Ending : uint8_t { kCompleted, kCancelled, kFailed };

  void admit();
  void start(const Waiting& next);
  uint32_t restore(Sequence& sequence);
  Batch plan();
  void run(const Batch& batch);
  void run_alone(const Batch& batch);
  void advance(const Batch& batch, std::span<const float> logits);
  void take_tokens(std::span<Sequence* const> sequences, std::span<const float> logits);
  void take_token(Sequence& sequence);
  void prompt_done(Sequence& sequence, std::span<const float> logits);
  void end_choice(Sequence& sequence);
  void end_request(ActiveRequest& request, Ending ending, std::optional<Error> error);
  void end_what_broke();
  void remove_ended();
  void keep(const Sequence& sequence);

  const Model& model_;
  Workspace& workspace_;
  const EngineLoopOptions options_;
  Logger log_;

  PrefixCache cache_;
  std::deque<Waiting> waiting_;
  std::vector<std::unique_ptr<Sequence>> running_;  // in the order in which they started
  size_t open_ = 0;
  std::vector<float> logits_;
  EngineLoopStats stats_;
  RecentWork recent_;
};

}  // namespace mach
