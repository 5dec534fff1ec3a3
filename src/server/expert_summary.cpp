#include "server/expert_summary.h"

#include <string>

#include <nlohmann/json.hpp>

namespace mach::server {
namespace {

double seconds(uint64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-9; }

}  // namespace

bool reads_directly(const ExpertStatus& status) {
  return status.residency == "streaming" && (status.reader == "uring" || status.reader == "pread");
}

nlohmann::ordered_json expert_summary(const ExpertStatus& status) {
  const ExpertCounters& total = status.total;
  return {
      {"residency", status.residency},
      {"direct_pread",
       {{"active", reads_directly(status)},
        {"mode", status.reader.empty() ? std::string("none") : status.reader}}},
      {"source", status.source},
      {"eviction", status.eviction},
      {"budget_bytes", status.budget_bytes},
      {"bank_bytes", status.bank_bytes},
      {"slots", status.slots},
      {"held", status.held},
      {"experts", status.experts},
      {"hits", total.hits},
      {"misses", total.misses},
      {"hit_rate", total.hit_rate()},
      {"evictions", total.evictions},
      {"reads", total.reads},
      {"bytes_read", total.bytes_read},
      {"read_seconds", seconds(total.read_ns)},
      {"stall_seconds", seconds(total.stall_ns)},
      {"lookahead",
       {{"active", status.lookahead}, {"useful", total.guesses_useful}, {"wasted", total.guesses_wasted}}}};
}

}  // namespace mach::server
