#include "server/openai_completions.h"

#include <ctime>
#include <limits>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "server/openai_usage.h"

namespace mach::server {
namespace {

constexpr uint32_t kDefaultMaxTokens = 16;  // OpenAI's
constexpr int64_t kMaxLogprobsHere = 20;
constexpr size_t kMaxPrompts = 64;

constexpr FieldRow kCompletionRows[] = {
    rows::kModel,
    {"prompt", kString | kArray, Handling::kUsed, "a text, token ids, or an array of either (at most 64)"},
    rows::kStream,
    rows::kStreamOptions,
    rows::kReturnProgress,
    {"max_tokens", kInteger, Handling::kUsed, "default 16; cut to what the context leaves"},
    rows::kN,
    rows::kStop,
    rows::kTemperature,
    rows::kTopP,
    rows::kTopK,
    rows::kMinP,
    rows::kSeed,
    rows::kPresence,
    rows::kFrequency,
    rows::kRepetition,
    rows::kLogitBias,
    {"logprobs", kInteger, Handling::kUsed, "0 to 20"},
    rows::kIgnoreEos,
    rows::kUser,
    rows::kMetadata,
    rows::kServiceTier,
    {"cache_prompt", kBoolean, Handling::kIgnored, "always on"},
    {"echo", kBoolean, Handling::kRefused, "the prompt is not repeated", "false"},
    {"suffix", kString, Handling::kRefused, "no filling in the middle", R"("")"},
    {"best_of", kInteger, Handling::kRefused, "use n", "1"},
};

std::vector<TokenId> read_ids(const Json& ids, const std::string& path) {
  std::vector<TokenId> result;
  result.reserve(ids.size());
  for (const Json& id : ids) {
    const bool fits = id.is_number_integer() && id.get<int64_t>() >= 0 &&
                      id.get<int64_t>() <= std::numeric_limits<TokenId>::max();
    if (!fits) throw Error(ErrorCode::kInvalidRequest, path + ": must be token ids");
    result.push_back(id.get<TokenId>());
  }
  return result;
}

void read_prompts(const FieldReader& fields, CompletionRequest& request) {
  const Json& prompt = fields.required("prompt");
  if (prompt.is_string()) {
    request.prompts.emplace_back(prompt.get<std::string>());
    return;
  }
  if (prompt.empty()) fields.refuse("prompt", "must not be empty");
  if (prompt.front().is_number()) {
    request.prompts.emplace_back(read_ids(prompt, "prompt"));
    return;
  }
  checked_array(prompt, "prompt", kMaxPrompts);
  for (size_t i = 0; i < prompt.size(); ++i) {
    const std::string path = item_path("prompt", i);
    if (prompt[i].is_string()) {
      request.prompts.emplace_back(prompt[i].get<std::string>());
    } else if (prompt[i].is_array()) {
      request.prompts.emplace_back(read_ids(prompt[i], path));
    } else {
      throw Error(ErrorCode::kInvalidRequest, path + ": must be a string or an array of token ids");
    }
  }
}

class CompletionWriter final : public ReplyFormat {
 public:
  explicit CompletionWriter(CompletionFormatOptions options)
      : options_(std::move(options)), created_(std::time(nullptr)) {}

  ApiStyle style() const noexcept override { return ApiStyle::kOpenAi; }

  std::string whole(const std::vector<FinishedChoice>& choices) override {
    Json body = head();
    body["choices"] = Json::array();
    for (size_t i = 0; i < choices.size(); ++i) {
      const ReplyMessage& message = *choices[i].message;
      body["choices"].push_back(choice_json(i, message.content, message.tokens, Json(message.finish_reason)));
    }
    body["usage"] = usage(choices);
    if (!choices.empty()) body["timings"] = timings(choices.front().summary);
    return dump(body);
  }

  void progress(const PromptProgress& progress, double milliseconds, std::string& out) override {
    Json chunk = head();
    chunk["choices"] = Json::array();
    chunk["prompt_progress"] = {{"total", progress.total},
                                {"cache", progress.cached},
                                {"processed", progress.done},
                                {"time_ms", milliseconds}};
    append_event(out, chunk);
  }

  void delta(size_t choice, const ReplyDelta& delta, std::string& out) override {
    if (delta.kind != ReplyDelta::Kind::kContent) return;  // there is nothing else without a chat format
    write(choice_json(choice, delta.text, delta.tokens, nullptr), nullptr, out);
  }

  void choice_end(size_t choice, const FinishedChoice& end, std::string& out) override {
    write(choice_json(choice, "", {}, Json(end.message->finish_reason)), timings(end.summary), out);
  }

  void end(const std::vector<FinishedChoice>& choices, std::string& out) override {
    if (options_.include_usage) {
      Json chunk = head();
      chunk["choices"] = Json::array();
      chunk["usage"] = usage(choices);
      append_event(out, chunk);
    }
    out += "data: [DONE]\n\n";
  }

  void error(const ApiError& error, std::string& out) override {
    append_event(out, error_body(error, style()));
    out += "data: [DONE]\n\n";
  }

 private:
  Json head() const {
    return {{"id", options_.id},
            {"object", "text_completion"},
            {"created", created_},
            {"model", options_.model->id()},
            {"system_fingerprint", options_.model->fingerprint()}};
  }

  // Every prompt counts once, however many choices it has.
  Json usage(const std::vector<FinishedChoice>& choices) const {
    UsageTotals totals = usage_totals(choices);
    totals.prompt_tokens = totals.cached_tokens = 0;
    for (size_t i = 0; i < choices.size(); i += options_.choices_per_prompt) {
      totals.prompt_tokens += choices[i].summary.prompt_tokens;
      totals.cached_tokens += choices[i].summary.cached_tokens;
    }
    return openai_usage(totals);
  }

  Json choice_json(size_t index, const std::string& text, const std::vector<ScoredToken>& tokens,
                   Json finish) {
    Json choice = {{"index", index}, {"text", text}, {"logprobs", logprobs(index, text, tokens)}};
    choice["finish_reason"] = std::move(finish);
    return choice;
  }

  // {tokens, token_logprobs, top_logprobs, text_offset}
  Json logprobs(size_t index, const std::string& text, const std::vector<ScoredToken>& tokens) {
    size_t offset = offsets_[index];
    offsets_[index] += text.size();
    if (!options_.logprobs) return nullptr;
    const Tokenizer& tokenizer = options_.model->engine().tokenizer();
    Json result = {{"tokens", Json::array()},
                   {"token_logprobs", Json::array()},
                   {"top_logprobs", Json::array()},
                   {"text_offset", Json::array()}};
    for (const ScoredToken& token : tokens) {
      result["tokens"].push_back(token_text(tokenizer, token.id));
      result["token_logprobs"].push_back(token.logprob);
      Json top = Json::object();
      for (const TokenLogprob& one : token.top) top[token_text(tokenizer, one.id)] = one.logprob;
      result["top_logprobs"].push_back(std::move(top));
      result["text_offset"].push_back(offset);
      offset += token.text.size();
    }
    return result;
  }

  void write(Json choice, Json times, std::string& out) const {
    Json chunk = head();
    chunk["choices"] = Json::array({std::move(choice)});
    if (options_.include_usage) chunk["usage"] = nullptr;
    if (!times.is_null()) chunk["timings"] = std::move(times);
    append_event(out, chunk);
  }

  const CompletionFormatOptions options_;
  const int64_t created_;
  std::map<size_t, size_t> offsets_;  // bytes written of each choice
};

}  // namespace

const FieldTable kCompletionFields{"POST /v1/completions", kCompletionRows};

CompletionRequest read_completion_request(const Json& body, const RequestLimits& limits) {
  const FieldReader fields(body, kCompletionFields);
  CompletionRequest request;
  if (const std::string* model = fields.text("model")) request.model = *model;
  request.unknown = fields.unknown();
  read_prompts(fields, request);
  GenerationRequest& generation = request.generation;
  generation.sampling = read_sampling(fields);
  if (const auto top = fields.integer("logprobs", 0, kMaxLogprobsHere)) {
    generation.sampling.logprobs = static_cast<uint32_t>(*top);
  }
  generation.max_tokens = static_cast<uint32_t>(
      fields.integer("max_tokens", 1, std::numeric_limits<int32_t>::max()).value_or(kDefaultMaxTokens));
  generation.stop = read_stops(fields, "stop");
  generation.choices = read_choices(fields, limits);
  generation.ignore_eos = fields.flag("ignore_eos");
  request.stream = read_stream(fields);
  return request;
}

std::unique_ptr<ReplyFormat> make_completion_format(CompletionFormatOptions options) {
  return std::make_unique<CompletionWriter>(std::move(options));
}

}  // namespace mach::server
