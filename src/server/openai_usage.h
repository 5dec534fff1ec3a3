// `usage`, `timings` and log-probabilities as OpenAI's APIs (and llama.cpp's extension of them) write them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "server/job_reply.h"

namespace mach::server {

// Over all choices of one request, which share their prompt.
struct UsageTotals {
  uint64_t prompt_tokens = 0;
  uint64_t cached_tokens = 0;
  uint64_t completion_tokens = 0;
  uint64_t reasoning_tokens = 0;
};
UsageTotals usage_totals(const std::vector<FinishedChoice>& choices);

// {prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details, completion_tokens_details}
Json openai_usage(const UsageTotals& totals);

// {cache_n, prompt_n, prompt_ms, prompt_per_second, predicted_n, predicted_ms, predicted_per_second, queue_ms}
Json timings(const JobSummary& summary);

// {"content": [{token, logprob, bytes, top_logprobs}], "refusal": null}
Json chat_logprobs(const std::vector<ScoredToken>& tokens, const Tokenizer& tokenizer);

// One token's bytes as text; incomplete characters become U+FFFD, and `bytes` has the truth.
std::string token_text(const Tokenizer& tokenizer, TokenId id);

// "data: {...}\n\n"
void append_event(std::string& out, const Json& data);
void append_event(std::string& out, std::string_view name, const Json& data);  // with an "event:" line

// JSON of text from outside: never throws for what is not UTF-8.
std::string dump(const Json& value);

}  // namespace mach::server
