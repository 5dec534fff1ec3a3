// What the server needs of the engine loop, and nothing more. Behind it stands EngineLoop; tests put a script there.
// Events and their order: engine/serving/engine_request.h.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "engine/serving/engine_request.h"

namespace mach::server {

class JobQueue {
 public:
  virtual ~JobQueue() = default;
  // Any thread. Throws as EngineLoop::submit().
  virtual RequestId submit(EngineRequest request) = 0;
  virtual void cancel(RequestId id) noexcept = 0;
  // Whether one pass may advance several sequences: the value of X-Decode-Mode.
  virtual bool batched() const noexcept = 0;
  // Bodies of GET /v1/stats and GET /v1/cache/stats. Any thread; must not wait for a running pass.
  virtual nlohmann::ordered_json stats() const = 0;
  virtual nlohmann::ordered_json cache_stats() const = 0;
};

}  // namespace mach::server
