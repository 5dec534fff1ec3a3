// The engine of a server: one thread that owns all model state and advances every running request by one forward pass
// after the other. The rest of the program talks to it through submit(), cancel() and events.
//
//   EngineLoop loop({model, workspace, tokenizer}, options);
//   const RequestId id = loop.submit({.prompt = ids, .params = params, .events = sink});
//
// A pass takes one token of every sequence that is generating and, beside them, a bounded part of the prompts that are
// being processed, so a long prompt does not stop the streams. Up to `parallel` sequences run, the others wait in the
// order in which they came; further choices of a request line up behind the requests that wait. The experts of a pass
// are acquired once for all its tokens. In exact mode the tokens of a request do not depend on what else is running.
//
// Prompts and replies go into the prefix cache (prefix_cache/prefix_cache.h), those of cancelled and failed requests
// included, as far as they were computed. A pass that throws is repeated for each sequence alone, so an error ends the
// request that causes it and no other.
//
// Thread-safe, apart from construction and destruction. Model, workspace, tokenizer must outlive it and belong to it:
// no session may run meanwhile.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "base/log.h"
#include "engine/prefix_cache/disk_tier.h"
#include "engine/prefix_cache/prefix_cache_options.h"
#include "engine/serving/engine_request.h"

namespace mach {

class Model;
class Workspace;
class Tokenizer;

struct EngineLoopOptions {
  uint32_t parallel = 4;            // sequences that run at the same time
  uint32_t max_waiting = 64;        // requests accepted and not running
  uint32_t context_length = 8192;   // tokens of a prompt and its reply together
  uint32_t prefill_chunk = 512;     // prompt tokens in a pass
  uint32_t interleaved_chunk = 64;  // the same while other sequences are generating
  PrefixCacheOptions prefix_cache;
};

struct EngineLoopStats {
  uint32_t parallel = 0;
  uint32_t running = 0;  // sequences: n of them for a request of n choices
  uint32_t waiting = 0;  // requests
  bool draining = false;

  // Since the start.
  uint64_t submitted = 0;  // accepted requests
  uint64_t rejected = 0;
  uint64_t completed = 0;
  uint64_t cancelled = 0;
  uint64_t failed = 0;
  uint64_t passes = 0;
  uint64_t prompt_tokens = 0;  // processed: cached ones are not in it
  uint64_t generated_tokens = 0;
  double busy_seconds = 0;  // in passes and what belongs to them

  // Over about the last 10 seconds of work.
  double prompt_tokens_per_second = 0;
  double generated_tokens_per_second = 0;
  double batch_width = 0;  // sequences that generate, mean over passes

  PrefixCacheStats prefix_cache;
};

class EngineLoop {
 public:
  struct Parts {
    const Model& model;
    Workspace& workspace;
    const Tokenizer& tokenizer;
    std::unique_ptr<DiskTier> disk;  // of the prefix cache; may be null
  };

  // Starts the thread. Throws Error{kInvalidRequest} naming an option that makes no sense.
  EngineLoop(Parts parts, const EngineLoopOptions& options, Logger log = {});
  EngineLoop(const EngineLoop&) = delete;
  EngineLoop& operator=(const EngineLoop&) = delete;
  // Cancels what is left, waits for the thread.
  ~EngineLoop();

  // Events may come before it returns. Throws, and then no event comes: Error{kOverloaded} when too many wait or the
  // loop is draining, Error{kTooLarge} for a prompt that leaves no room in the context, Error{kInvalidRequest} for what
  // is wrong in the request (ids, parameters, stop strings).
  RequestId submit(EngineRequest request);

  // The request ends before the next pass; nothing happens if it has ended. What was computed stays in the prefix cache.
  void cancel(RequestId id) noexcept;

  // From now on requests are refused. Waits until the accepted ones have ended; those that have not after `patience` are
  // cancelled, and it returns false. May be called again.
  bool drain(std::chrono::milliseconds patience);

  // Forgets what no running request uses.
  void clear_prefix_cache();

  EngineLoopStats stats() const;
  const EngineLoopOptions& options() const noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mach
