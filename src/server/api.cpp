#include "server/api.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "arch/arch_summary.h"
#include "base/quoted_name.h"
#include "io/json.h"
#include "server/anthropic.h"
#include "server/expert_summary.h"
#include "server/openai_chat_format.h"
#include "server/openai_chat_request.h"
#include "server/openai_completions.h"
#include "server/openai_usage.h"
#include "server/responses.h"
#include "server/text_requests.h"

namespace mach::server {
namespace {

// The answer of POST /v1/cache/warm_prefix.
class WarmFormat final : public ReplyFormat {
 public:
  ApiStyle style() const noexcept override { return ApiStyle::kOpenAi; }
  std::string whole(const std::vector<FinishedChoice>& choices) override {
    const JobSummary& summary = choices.front().summary;
    return dump({{"object", "cache.warm_prefix"},
                 {"prompt_tokens", summary.prompt_tokens},
                 {"cached_tokens", summary.cached_tokens},
                 {"seconds", summary.queue_seconds + summary.prefill_seconds}});
  }
  void delta(size_t, const ReplyDelta&, std::string&) override {}
  void choice_end(size_t, const FinishedChoice&, std::string&) override {}
  void end(const std::vector<FinishedChoice>&, std::string&) override {}
  void error(const ApiError&, std::string&) override {}
};

std::unique_ptr<Reply> json_reply(const Json& body) { return whole_reply(200, dump(body)); }

// The tokens with which every conversation that begins so begins, whatever its next message: what renderings with two
// different next messages have in common. Works with templates that refuse a conversation without a user's message.
std::vector<TokenId> common_beginning(const ServedModel& model, const ChatTask& task) {
  const auto with_next = [&](const char* text) {
    ChatTask next = task;
    next.messages.push_back({{"role", "user"}, {"content", text}});
    return model.engine().encode_rendered(model.render(next));
  };
  std::vector<TokenId> a = with_next("0");
  const std::vector<TokenId> b = with_next("x");
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  a.erase(end, a.end());
  return a;
}

}  // namespace

Api::Api(const ServedModel& model, JobQueue& queue, ApiOptions options, EventLog log)
    : model_(model), queue_(queue), options_(std::move(options)), log_(std::move(log)) {}

std::span<const Api::Row> Api::rows() {
  static constexpr Row kRows[] = {
      {"POST", "/v1/chat/completions", &Api::chat},
      {"POST", "/v1/completions", &Api::completions},
      {"POST", "/v1/responses", &Api::responses},
      {"POST", "/v1/messages", &Api::messages, ApiStyle::kAnthropic},
      {"POST", "/v1/messages/count_tokens", &Api::count_tokens, ApiStyle::kAnthropic},
      {"GET", "/v1/models", &Api::models},
      {"GET", "/v1/models/*", &Api::model},
      {"GET", "/v1/capabilities", &Api::capabilities},
      {"GET", "/v1/stats", &Api::stats},
      {"GET", "/v1/cache/stats", &Api::cache_stats},
      {"POST", "/v1/cache/warm_prefix", &Api::warm_prefix},
      {"POST", "/v1/tokenize", &Api::tokenize},
      {"POST", "/v1/detokenize", &Api::detokenize},
      {"GET", "/health", &Api::health, ApiStyle::kOpenAi, true},
      {"GET", "/metrics", &Api::metrics_text},
  };
  return kRows;
}

std::vector<Route> Api::routes() {
  std::vector<Route> routes;
  for (const Row& row : rows()) {
    routes.push_back({row.method, row.path, row.style, row.open,
                      [this, handler = row.handler](const HttpRequest& request, std::string_view tail) {
                        return (this->*handler)(request, tail);
                      }});
  }
  return routes;
}

std::vector<std::string> Api::endpoints() {
  std::vector<std::string> names;
  for (const Row& row : rows()) names.push_back(fmt::format("{} {}", row.method, row.path));
  return names;
}

std::vector<const FieldTable*> documented_tables() {
  return {&kChatFields,       &kResponseFormatFields, &kJsonSchemaFields, &kStreamOptionsFields,
          &kCompletionFields, &kResponsesFields,      &kMessagesFields,   &kAnthropicToolFields,
          &kTokenizeFields,   &kDetokenizeFields,     &kWarmPrefixFields};
}

Json Api::parse_body(const HttpRequest& request) const {
  JsonLimits limits;
  limits.max_depth = options_.limits.max_json_depth;
  limits.max_values = options_.limits.max_json_values;
  limits.duplicates = DuplicateKeys::kKeepLast;
  limits.error = ErrorCode::kInvalidRequest;
  return parse_ordered_json(request.body, "the request body", limits);
}

void Api::check_model(const std::string& named) const {
  if (!options_.strict_model || named.empty() || named == model_.id()) return;
  throw RequestRefused(
      ErrorCode::kNotFound, "model_not_found",
      fmt::format("model: {} is not loaded, but {} is", quoted_name(named), quoted_name(model_.id())));
}

std::string Api::new_id(std::string_view prefix, size_t letters) {
  constexpr std::string_view kLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::string id(prefix);
  const std::scoped_lock lock(random_mutex_);
  for (size_t i = 0; i < letters; ++i) id += kLetters[random_() % kLetters.size()];
  return id;
}

std::unique_ptr<Reply> Api::run(const HttpRequest& request, PreparedJobs jobs,
                                std::unique_ptr<ReplyFormat> format, const StreamRequest& stream,
                                const std::vector<std::string>& unknown) {
  JobReplyOptions options;
  options.stream = stream.stream;
  options.progress = stream.progress;
  options.keep_alive = options_.keep_alive;
  options.time_limit = options_.time_limit;
  options.headers.push_back({"X-Decode-Mode", queue_.batched() ? "batched" : "single"});
  if (!unknown.empty()) {
    const std::string names = fmt::format("{}", fmt::join(unknown, ", ")).substr(0, 512);
    options.headers.push_back({"X-Ignored-Fields", names});
    log_.write(LogLevel::kDebug, "fields_ignored", {{"id", request.id}, {"fields", names}});
  }
  return make_job_reply(
      queue_, std::move(jobs), std::move(format), std::move(options),
      [this, path = request.path, id = request.id](const std::vector<FinishedChoice>& choices, int status) {
        metrics_.generation_ended(path, status, choices);
        for (const FinishedChoice& choice : choices) {
          const JobSummary& s = choice.summary;
          log_.info("generation", {{"id", id},
                                   {"prompt_tokens", uint64_t{s.prompt_tokens}},
                                   {"cached_tokens", uint64_t{s.cached_tokens}},
                                   {"generated_tokens", uint64_t{s.generated_tokens}},
                                   {"finish", std::string(to_string(s.finish))},
                                   {"queue_seconds", s.queue_seconds},
                                   {"prefill_seconds", s.prefill_seconds},
                                   {"decode_seconds", s.decode_seconds}});
        }
      });
}

std::unique_ptr<Reply> Api::chat(const HttpRequest& request, std::string_view) {
  const ChatRequest chat = read_chat_request(parse_body(request), options_.limits);
  check_model(chat.model);
  PreparedJobs jobs = model_.prepare_chat(chat.task, [this] { return new_id("call_"); });
  ChatFormatOptions format;
  format.id = new_id("chatcmpl-");
  format.model = &model_;
  format.logprobs = chat.task.generation.sampling.logprobs.has_value();
  format.include_usage = chat.task.stream.include_usage;
  return run(request, std::move(jobs), make_chat_format(std::move(format)), chat.task.stream, chat.unknown);
}

std::unique_ptr<Reply> Api::completions(const HttpRequest& request, std::string_view) {
  const CompletionRequest completion = read_completion_request(parse_body(request), options_.limits);
  check_model(completion.model);
  PreparedJobs all;
  for (const auto& prompt : completion.prompts) {
    const std::string* text = std::get_if<std::string>(&prompt);
    std::vector<TokenId> ids =
        text != nullptr ? model_.engine().encode(*text) : std::get<std::vector<TokenId>>(prompt);
    model_.check_ids(ids, "prompt");
    PreparedJobs one = model_.prepare_completion(std::move(ids), completion.generation);
    std::move(one.requests.begin(), one.requests.end(), std::back_inserter(all.requests));
    std::move(one.parsers.begin(), one.parsers.end(), std::back_inserter(all.parsers));
  }
  CompletionFormatOptions format;
  format.id = new_id("cmpl-");
  format.model = &model_;
  format.logprobs = completion.generation.sampling.logprobs.has_value();
  format.include_usage = completion.stream.include_usage;
  format.choices_per_prompt = completion.generation.choices;
  return run(request, std::move(all), make_completion_format(std::move(format)), completion.stream,
             completion.unknown);
}

std::unique_ptr<Reply> Api::responses(const HttpRequest& request, std::string_view) {
  ResponsesRequest wanted = read_responses_request(parse_body(request), options_.limits);
  check_model(wanted.model);
  PreparedJobs jobs = model_.prepare_chat(wanted.task, [this] { return new_id("call_"); });
  ResponsesFormatOptions format;
  format.id = new_id("resp_", 32);
  format.model = &model_;
  format.with_logprobs = wanted.with_logprobs;
  format.with_encrypted_reasoning = wanted.with_encrypted_reasoning;
  format.echo = std::move(wanted.echo);
  return run(request, std::move(jobs), make_responses_format(std::move(format)), wanted.task.stream,
             wanted.unknown);
}

std::unique_ptr<Reply> Api::messages(const HttpRequest& request, std::string_view) {
  const MessagesRequest wanted = read_messages_request(parse_body(request), options_.limits, false);
  check_model(wanted.model);
  PreparedJobs jobs = model_.prepare_chat(wanted.task, [this] { return new_id("toolu_"); });
  MessagesFormatOptions format;
  format.id = new_id("msg_");
  format.model = &model_;
  format.prompt_tokens = static_cast<uint32_t>(jobs.requests.front().prompt.size());
  return run(request, std::move(jobs), make_messages_format(std::move(format)), wanted.task.stream,
             wanted.unknown);
}

std::unique_ptr<Reply> Api::count_tokens(const HttpRequest& request, std::string_view) {
  const MessagesRequest wanted = read_messages_request(parse_body(request), options_.limits, true);
  check_model(wanted.model);
  const std::vector<TokenId> ids = model_.engine().encode_rendered(model_.render(wanted.task));
  return json_reply({{"input_tokens", ids.size()}});
}

Json Api::model_json() const {
  const EngineInfo& info = model_.engine().info();
  return {{"id", model_.id()},
          {"object", "model"},
          {"created", model_.created()},
          {"owned_by", "mach"},
          // Anthropic's names for the same, so that one list serves both.
          {"type", "model"},
          {"display_name", model_.id()},
          // What agents look for.
          {"context_length", info.context_length},
          {"max_model_len", info.context_length},
          {"meta",
           {{"model_type", info.model_type},
            {"quantisation", info.quantisation},
            {"vocab_size", info.vocab_size},
            {"weight_bytes", info.weight_bytes}}}};
}

std::unique_ptr<Reply> Api::models(const HttpRequest&, std::string_view) {
  return json_reply({{"object", "list"},
                     {"data", Json::array({model_json()})},
                     {"first_id", model_.id()},
                     {"last_id", model_.id()},
                     {"has_more", false}});
}

std::unique_ptr<Reply> Api::model(const HttpRequest&, std::string_view id) {
  if (id == model_.id()) return json_reply(model_json());
  throw RequestRefused(
      ErrorCode::kNotFound, "model_not_found",
      fmt::format("there is no model {}, only {}", quoted_name(id), quoted_name(model_.id())));
}

std::unique_ptr<Reply> Api::capabilities(const HttpRequest&, std::string_view) {
  const EngineInfo& info = model_.engine().info();
  const ChatFormat* format = model_.engine().chat().format();
  return json_reply({{"object", "capabilities"},
                     {"model", model_json()},
                     {"chat_format", format != nullptr ? Json(format->name) : Json()},
                     {"numerics", info.numerics},
                     {"kernel_set", info.kernel_set},
                     {"threads", info.threads},
                     {"continuous_batching", queue_.batched()},
                     {"process", options_.facts},
                     {"endpoints", endpoints()},
                     {"arch_summary", arch_summary()}});
}

std::unique_ptr<Reply> Api::stats(const HttpRequest&, std::string_view) {
  Json body = queue_.stats();
  body["uptime_seconds"] = std::chrono::duration<double>(Clock::now() - started_).count();
  body["model"] = model_.id();
  return json_reply(body);
}

Json Api::all_cache_stats() const {
  Json stats = queue_.cache_stats();
  stats["streaming_summary"] = expert_summary(model_.engine().expert_status());
  return stats;
}

std::unique_ptr<Reply> Api::cache_stats(const HttpRequest&, std::string_view) {
  return json_reply(all_cache_stats());
}

std::unique_ptr<Reply> Api::warm_prefix(const HttpRequest& request, std::string_view) {
  const WarmPrefixRequest warm = read_warm_prefix_request(parse_body(request), options_.limits);
  std::vector<TokenId> ids =
      warm.is_chat ? common_beginning(model_, warm.task) : model_.engine().encode(warm.prompt);
  if (ids.empty()) throw Error(ErrorCode::kInvalidRequest, "messages: nothing of the prompt is certain yet");
  return run(request, model_.prepare_warming(std::move(ids)), std::make_unique<WarmFormat>(), StreamRequest(),
             {});
}

std::unique_ptr<Reply> Api::tokenize(const HttpRequest& request, std::string_view) {
  const TokenizeRequest wanted = read_tokenize_request(parse_body(request));
  const Tokenizer& tokenizer = model_.engine().tokenizer();
  const auto ids = tokenizer.encode(wanted.text, EncodeOptions{.add_special_tokens = wanted.add_special});
  Json tokens = Json::array();
  for (const TokenId id : ids) {
    if (wanted.with_pieces) {
      tokens.push_back({{"id", id}, {"piece", token_text(tokenizer, id)}});
    } else {
      tokens.push_back(id);
    }
  }
  return json_reply(
      {{"tokens", std::move(tokens)}, {"count", ids.size()}, {"max_model_len", model_.context_length()}});
}

std::unique_ptr<Reply> Api::detokenize(const HttpRequest& request, std::string_view) {
  const std::vector<TokenId> ids = read_detokenize_request(parse_body(request));
  model_.check_ids(ids, "tokens");
  const std::string text = model_.engine().tokenizer().decode(ids, DecodeOptions{.skip_special = false});
  return json_reply({{"content", text}, {"text", text}});
}

std::unique_ptr<Reply> Api::health(const HttpRequest&, std::string_view) {
  return json_reply({{"status", "ok"}, {"model", model_.id()}});
}

std::unique_ptr<Reply> Api::metrics_text(const HttpRequest&, std::string_view) {
  ResponseHead head;
  head.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return whole_reply(std::move(head), metrics_.text(queue_.stats(), all_cache_stats()));
}

}  // namespace mach::server
