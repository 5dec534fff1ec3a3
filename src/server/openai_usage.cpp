#include "server/openai_usage.h"

#include "base/utf8.h"

namespace mach::server {
namespace {

double per_second(double count, double seconds) { return seconds > 0 ? count / seconds : 0; }

Json bytes_of(std::string_view text) {
  Json bytes = Json::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

}  // namespace

UsageTotals usage_totals(const std::vector<FinishedChoice>& choices) {
  UsageTotals totals;
  for (const FinishedChoice& choice : choices) {
    totals.completion_tokens += choice.summary.generated_tokens;
    totals.reasoning_tokens += choice.message->reasoning_tokens;
  }
  if (!choices.empty()) {
    totals.prompt_tokens = choices.front().summary.prompt_tokens;
    totals.cached_tokens = choices.front().summary.cached_tokens;
  }
  return totals;
}

Json openai_usage(const UsageTotals& totals) {
  return {{"prompt_tokens", totals.prompt_tokens},
          {"completion_tokens", totals.completion_tokens},
          {"total_tokens", totals.prompt_tokens + totals.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", totals.cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", totals.reasoning_tokens}}}};
}

Json timings(const JobSummary& summary) {
  constexpr double kMs = 1000;
  const uint32_t computed = summary.prompt_tokens - std::min(summary.cached_tokens, summary.prompt_tokens);
  // The first token comes from the prompt's own logits.
  const uint32_t steps = summary.generated_tokens > 0 ? summary.generated_tokens - 1 : 0;
  return {{"cache_n", summary.cached_tokens},
          {"prompt_n", computed},
          {"prompt_ms", summary.prefill_seconds * kMs},
          {"prompt_per_second", per_second(computed, summary.prefill_seconds)},
          {"predicted_n", summary.generated_tokens},
          {"predicted_ms", summary.decode_seconds * kMs},
          {"predicted_per_second", per_second(steps, summary.decode_seconds)},
          {"queue_ms", summary.queue_seconds * kMs}};
}

std::string token_text(const Tokenizer& tokenizer, TokenId id) {
  return replace_invalid_utf8(tokenizer.token_bytes(id));
}

Json chat_logprobs(const std::vector<ScoredToken>& tokens, const Tokenizer& tokenizer) {
  const auto entry = [&](TokenId id, float logprob) {
    return Json{{"token", token_text(tokenizer, id)},
                {"logprob", logprob},
                {"bytes", bytes_of(tokenizer.token_bytes(id))}};
  };
  Json content = Json::array();
  for (const ScoredToken& token : tokens) {
    Json one = entry(token.id, token.logprob);
    one["top_logprobs"] = Json::array();
    for (const TokenLogprob& top : token.top) one["top_logprobs"].push_back(entry(top.id, top.logprob));
    content.push_back(std::move(one));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

std::string dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

void append_event(std::string& out, const Json& data) {
  out += "data: ";
  out += dump(data);
  out += "\n\n";
}

void append_event(std::string& out, std::string_view name, const Json& data) {
  out += "event: ";
  out += name;
  out += '\n';
  append_event(out, data);
}

}  // namespace mach::server
