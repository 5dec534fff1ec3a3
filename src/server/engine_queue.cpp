#include "server/engine_queue.h"

namespace mach::server {

nlohmann::ordered_json EngineQueue::stats() const {
  const EngineLoopStats s = loop_.stats();
  return {{"object", "stats"},
          {"parallel", s.parallel},
          {"running", s.running},
          {"waiting", s.waiting},
          {"draining", s.draining},
          {"requests",
           {{"submitted", s.submitted},
            {"rejected", s.rejected},
            {"completed", s.completed},
            {"cancelled", s.cancelled},
            {"failed", s.failed}}},
          {"passes", s.passes},
          {"prompt_tokens", s.prompt_tokens},
          {"generated_tokens", s.generated_tokens},
          {"busy_seconds", s.busy_seconds},
          {"recent",
           {{"prompt_tokens_per_second", s.prompt_tokens_per_second},
            {"generated_tokens_per_second", s.generated_tokens_per_second},
            {"batch_width", s.batch_width}}}};
}

nlohmann::ordered_json EngineQueue::cache_stats() const {
  const PrefixCacheOptions& options = loop_.options().prefix_cache;
  const PrefixCacheStats s = loop_.stats().prefix_cache;
  const double rate = s.lookups > 0 ? static_cast<double>(s.hits) / static_cast<double>(s.lookups) : 0;
  return {{"object", "cache.stats"},
          {"prefix_cache",
           {{"enabled", options.enabled},
            {"entries", s.entries},
            {"max_entries", options.max_entries},
            {"bytes", s.bytes},
            {"max_bytes", options.max_bytes},
            {"block_size", options.block_size},
            {"lookups", s.lookups},
            {"hits", s.hits},
            {"hit_rate", rate},
            {"disk_hits", s.disk_hits},
            {"cached_tokens", s.cached_tokens},
            {"insertions", s.insertions},
            {"evictions", s.evictions}}},
          {"disk_kv",
           {{"enabled", !options.disk_dir.empty()},
            {"files", s.disk_files},
            {"bytes", s.disk_bytes},
            {"budget_bytes", options.disk_budget},
            {"writes", s.disk_writes},
            {"evictions", s.disk_evictions},
            {"errors", s.disk_errors}}}};
}

}  // namespace mach::server
