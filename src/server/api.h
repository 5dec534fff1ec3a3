// The endpoints: what each request becomes, over the model and the engine loop. One Api serves one model.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "server/event_log.h"
#include "server/job_queue.h"
#include "server/metrics.h"
#include "server/request_fields.h"
#include "server/router.h"
#include "server/served_model.h"

namespace mach::server {

struct ApiOptions {
  RequestLimits limits;
  bool strict_model = false;                     // a request for another model is a 404
  std::chrono::milliseconds keep_alive{10'000};  // of streams
  std::chrono::milliseconds time_limit{0};       // of a request; 0: none
  Json facts = Json::object();  // what this process does, for GET /v1/capabilities: the start-up lines
};

class Api {
 public:
  // Both must outlive the Api.
  Api(const ServedModel& model, JobQueue& queue, ApiOptions options, EventLog log);

  std::vector<Route> routes();
  static std::vector<std::string> endpoints();  // "POST /v1/completions"
  Metrics& metrics() noexcept { return metrics_; }

 private:
  using Handler = std::unique_ptr<Reply> (Api::*)(const HttpRequest& request, std::string_view tail);

  struct Row {
    std::string_view method;
    std::string_view path;
    Handler handler;
    ApiStyle style = ApiStyle::kOpenAi;
    bool open = false;
  };
  static std::span<const Row> rows();

  std::unique_ptr<Reply> chat(const HttpRequest& request, std::string_view);
  std::unique_ptr<Reply> completions(const HttpRequest& request, std::string_view);
  std::unique_ptr<Reply> responses(const HttpRequest& request, std::string_view);
  std::unique_ptr<Reply> messages(const HttpRequest& request, std::string_view);
  std::unique_ptr<Reply> count_tokens(const HttpRequest& request, std::string_view);
  std::unique_ptr<Reply> models(const HttpRequest& request, std::string_view);
  std::unique_ptr<Reply> model(const HttpRequest& request, std::string_view id);
  std::unique_ptr<Reply> capabilities(const HttpRequest& request, std::string_view);
  std::unique_ptr<Reply> stats(const HttpRequest& request, std::string_view);
  std::unique_ptr<Reply> cache_stats(const HttpRequest& request, std::string_view);
  std::unique_ptr<Reply> warm_prefix(const HttpRequest& request, std::string_view);
  std::unique_ptr<Reply> tokenize(const HttpRequest& request, std::string_view);
  std::unique_ptr<Reply> detokenize(const HttpRequest& request, std::string_view);
  std::unique_ptr<Reply> health(const HttpRequest& request, std::string_view);
  std::unique_ptr<Reply> metrics_text(const HttpRequest& request, std::string_view);

  Json parse_body(const HttpRequest& request) const;
  void check_model(const std::string& named) const;
  std::string new_id(std::string_view prefix, size_t letters = 24);
  // Hands the jobs in and wires what every generating endpoint needs: headers, observer, limits.
  std::unique_ptr<Reply> run(const HttpRequest& request, PreparedJobs jobs,
                             std::unique_ptr<ReplyFormat> format, const StreamRequest& stream,
                             const std::vector<std::string>& unknown);
  Json model_json() const;
  Json all_cache_stats() const;

  const ServedModel& model_;
  JobQueue& queue_;
  const ApiOptions options_;
  const EventLog log_;
  const Clock::time_point started_ = Clock::now();
  Metrics metrics_;
  std::mutex random_mutex_;
  std::mt19937_64 random_{std::random_device()()};
};

// What docs/API.md must show (api_docs_test.cpp).
std::vector<const FieldTable*> documented_tables();

}  // namespace mach::server
