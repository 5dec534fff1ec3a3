// The JobQueue that is the engine loop.
#pragma once

#include <nlohmann/json.hpp>

#include "engine/serving/engine_loop.h"
#include "server/job_queue.h"

namespace mach::server {

class EngineQueue final : public JobQueue {
 public:
  explicit EngineQueue(EngineLoop& loop) : loop_(loop) {}

  RequestId submit(EngineRequest request) override { return loop_.submit(std::move(request)); }
  void cancel(RequestId id) noexcept override { loop_.cancel(id); }
  bool batched() const noexcept override { return loop_.options().parallel > 1; }
  nlohmann::ordered_json stats() const override;
  nlohmann::ordered_json cache_stats() const override;

 private:
  EngineLoop& loop_;
};

}  // namespace mach::server
