#include "server/metrics.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace mach::server {
namespace {

using Family = prometheus::Family<prometheus::Counter>;

Family& counter(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

// A value with a family of its own, without a registry: it is made anew for each text.
void append_gauges(std::vector<prometheus::MetricFamily>& families, const std::string& name,
                   const nlohmann::ordered_json& value) {
  if (value.is_object()) {
    for (const auto& [key, inner] : value.items()) append_gauges(families, name + "_" + key, inner);
    return;
  }
  if (!value.is_number() && !value.is_boolean()) return;
  prometheus::MetricFamily family;
  family.name = name;
  for (char& c : family.name) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (!word) c = '_';
  }
  family.type = prometheus::MetricType::Gauge;
  prometheus::ClientMetric metric;
  metric.gauge.value = value.is_boolean() ? (value.get<bool>() ? 1 : 0) : value.get<double>();
  family.metric.push_back(metric);
  families.push_back(std::move(family));
}

}  // namespace

struct Metrics::Impl {
  prometheus::Registry registry;
  Family& failures =
      counter(registry, "mach_http_refused_total", "Requests that were refused, by route and status");
  Family& generations =
      counter(registry, "mach_generations_total", "Generation requests that ended, by route and status");
  Family& tokens =
      counter(registry, "mach_tokens_total", "Tokens: prompt (computed), cached (of prompts), generated");
  prometheus::Counter& prompt = tokens.Add({{"kind", "prompt"}});
  prometheus::Counter& cached = tokens.Add({{"kind", "cached"}});
  prometheus::Counter& generated = tokens.Add({{"kind", "generated"}});
  prometheus::Histogram& first_token =
      prometheus::BuildHistogram()
          .Name("mach_time_to_first_token_seconds")
          .Help("Queue and prompt processing")
          .Register(registry)
          .Add({}, prometheus::Histogram::BucketBoundaries{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120,
                                                           300});
  prometheus::Histogram& token_time =
      prometheus::BuildHistogram()
          .Name("mach_seconds_per_token")
          .Help("Decoding, mean of a generation")
          .Register(registry)
          .Add({}, prometheus::Histogram::BucketBoundaries{0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2});
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

void Metrics::request_failed(std::string_view route, int status) {
  impl_->failures.Add({{"route", std::string(route)}, {"status", std::to_string(status)}}).Increment();
}

void Metrics::generation_ended(std::string_view route, int status,
                               const std::vector<FinishedChoice>& choices) {
  impl_->generations.Add({{"route", std::string(route)}, {"status", std::to_string(status)}}).Increment();
  for (const FinishedChoice& choice : choices) {
    const JobSummary& summary = choice.summary;
    impl_->prompt.Increment(summary.prompt_tokens - std::min(summary.cached_tokens, summary.prompt_tokens));
    impl_->cached.Increment(summary.cached_tokens);
    impl_->generated.Increment(summary.generated_tokens);
    impl_->first_token.Observe(summary.queue_seconds + summary.prefill_seconds);
    if (summary.generated_tokens > 1) {
      impl_->token_time.Observe(summary.decode_seconds / (summary.generated_tokens - 1));
    }
  }
}

std::string Metrics::text(const nlohmann::ordered_json& engine, const nlohmann::ordered_json& cache) const {
  std::vector<prometheus::MetricFamily> families = impl_->registry.Collect();
  append_gauges(families, "mach_engine", engine);
  append_gauges(families, "mach_cache", cache);
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace mach::server
