// What the process counts, for GET /metrics in Prometheus' text form. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "server/job_reply.h"

namespace mach::server {

class Metrics {
 public:
  Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;
  ~Metrics();

  void request_failed(std::string_view route, int status);
  void generation_ended(std::string_view route, int status, const std::vector<FinishedChoice>& choices);

  // `engine` and `cache` are JSON objects; each number in them becomes a gauge named by its path
  // (mach_engine_queue_waiting).
  std::string text(const nlohmann::ordered_json& engine, const nlohmann::ordered_json& cache) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mach::server
