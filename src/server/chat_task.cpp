#include "server/chat_task.h"

#include <fmt/format.h>

#include "mach/error.h"

#include "base/quoted_name.h"

namespace mach::server {
namespace {

struct EffortRow {
  std::string_view effort;
  bool thinking;
  std::string_view level;  // the three that every template with levels knows, and DeepSeek's fourth
};

constexpr EffortRow kEfforts[] = {
    {"none", false, "low"}, {"minimal", true, "low"}, {"low", true, "low"}, {"medium", true, "medium"},
    {"high", true, "high"}, {"xhigh", true, "high"},  {"max", true, "max"},
};

template <class To, class From>
void set(To& to, const From& from) {
  if (from) to = *from;
}

}  // namespace

void SamplingRequest::apply_to(SamplingParams& params) const {
  set(params.temperature, temperature);
  set(params.top_p, top_p);
  set(params.min_p, min_p);
  set(params.top_k, top_k);
  set(params.repetition_penalty, repetition_penalty);
  set(params.presence_penalty, presence_penalty);
  set(params.frequency_penalty, frequency_penalty);
  set(params.seed, seed);
  params.logit_bias = logit_bias;
  params.logprobs = logprobs;
}

void set_thinking(Json& variables, bool on) {
  variables["enable_thinking"] = on;  // Qwen, Gemma
  variables["thinking"] = on;         // DeepSeek
}

void apply_reasoning_effort(Json& variables, const std::string& effort, const std::string& field) {
  for (const EffortRow& row : kEfforts) {
    if (row.effort != effort) continue;
    set_thinking(variables, row.thinking);
    variables["reasoning_effort"] = row.level;
    return;
  }
  throw Error(ErrorCode::kInvalidRequest,
              fmt::format("{}: {} is none of none, minimal, low, medium, high, xhigh, max", field,
                          quoted_name(effort)));
}

}  // namespace mach::server
