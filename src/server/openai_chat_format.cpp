#include "server/openai_chat_format.h"

#include <ctime>
#include <set>

#include <nlohmann/json.hpp>

#include "server/openai_usage.h"

namespace mach::server {
namespace {

Json call_json(const ToolCall& call) {
  return {{"id", call.id},
          {"type", "function"},
          {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

class ChatFormatWriter final : public ReplyFormat {
 public:
  explicit ChatFormatWriter(ChatFormatOptions options)
      : options_(std::move(options)), created_(std::time(nullptr)) {}

  ApiStyle style() const noexcept override { return ApiStyle::kOpenAi; }

  std::string whole(const std::vector<FinishedChoice>& choices) override {
    Json body = head("chat.completion");
    body["choices"] = Json::array();
    for (size_t i = 0; i < choices.size(); ++i)
      body["choices"].push_back(whole_choice(i, *choices[i].message));
    body["usage"] = openai_usage(usage_totals(choices));
    if (!choices.empty()) body["timings"] = timings(choices.front().summary);
    return dump(body);
  }

  void progress(const PromptProgress& progress, double milliseconds, std::string& out) override {
    Json chunk = head("chat.completion.chunk");
    chunk["choices"] = Json::array();
    chunk["prompt_progress"] = {{"total", progress.total},
                                {"cache", progress.cached},
                                {"processed", progress.done},
                                {"time_ms", milliseconds}};
    append_event(out, chunk);
  }

  void delta(size_t choice, const ReplyDelta& delta, std::string& out) override {
    open(choice, out);
    switch (delta.kind) {
      case ReplyDelta::Kind::kReasoning:
        return write(choice, {{"reasoning_content", delta.text}}, nullptr, out);
      case ReplyDelta::Kind::kContent:
        return write(choice, {{"content", delta.text}}, logprobs(delta.tokens), out);
      case ReplyDelta::Kind::kCall:
        break;
    }
    // As OpenAI does it: the name first, then the arguments.
    Json first = call_json(delta.call);
    first["function"]["arguments"] = "";
    Json start = {{"index", delta.call_index}};
    start.update(first);
    write(choice, {{"tool_calls", Json::array({start})}}, nullptr, out);
    const Json rest = {{"index", delta.call_index}, {"function", {{"arguments", delta.call.arguments}}}};
    write(choice, {{"tool_calls", Json::array({rest})}}, nullptr, out);
  }

  void choice_end(size_t choice, const FinishedChoice& end, std::string& out) override {
    open(choice, out);
    Json chunk = chunk_of(choice, Json::object(), nullptr, Json(end.message->finish_reason));
    chunk["timings"] = timings(end.summary);
    append_event(out, chunk);
  }

  void end(const std::vector<FinishedChoice>& choices, std::string& out) override {
    if (options_.include_usage) {
      Json chunk = head("chat.completion.chunk");
      chunk["choices"] = Json::array();
      chunk["usage"] = openai_usage(usage_totals(choices));
      append_event(out, chunk);
    }
    out += "data: [DONE]\n\n";
  }

  void error(const ApiError& error, std::string& out) override {
    append_event(out, error_body(error, style()));
    out += "data: [DONE]\n\n";
  }

 private:
  Json head(const char* object) const {
    return {{"id", options_.id},
            {"object", object},
            {"created", created_},
            {"model", options_.model->id()},
            {"system_fingerprint", options_.model->fingerprint()}};
  }

  Json logprobs(const std::vector<ScoredToken>& tokens) const {
    if (!options_.logprobs) return nullptr;
    return chat_logprobs(tokens, options_.model->engine().tokenizer());
  }

  Json whole_choice(size_t index, const ReplyMessage& message) const {
    Json answer = {{"role", "assistant"}};
    const bool silent = message.content.empty() && !message.calls.empty();
    answer["content"] = silent ? Json(nullptr) : Json(message.content);
    answer["refusal"] = nullptr;
    if (!message.reasoning.empty()) answer["reasoning_content"] = message.reasoning;
    for (const ToolCall& call : message.calls) answer["tool_calls"].push_back(call_json(call));
    return {{"index", index},
            {"message", std::move(answer)},
            {"logprobs", logprobs(message.tokens)},
            {"finish_reason", message.finish_reason}};
  }

  // The first event of a choice names the role.
  void open(size_t choice, std::string& out) {
    if (opened_.insert(choice).second) write(choice, {{"role", "assistant"}, {"content", ""}}, nullptr, out);
  }

  void write(size_t choice, Json delta, Json scores, std::string& out) const {
    append_event(out, chunk_of(choice, std::move(delta), std::move(scores), nullptr));
  }

  Json chunk_of(size_t choice, Json delta, Json scores, Json finish) const {
    Json chunk = head("chat.completion.chunk");
    chunk["choices"] = Json::array({Json{{"index", choice},
                                         {"delta", std::move(delta)},
                                         {"logprobs", std::move(scores)},
                                         {"finish_reason", std::move(finish)}}});
    if (options_.include_usage) chunk["usage"] = nullptr;
    return chunk;
  }

  const ChatFormatOptions options_;
  const int64_t created_;
  std::set<size_t> opened_;
};

}  // namespace

std::unique_ptr<ReplyFormat> make_chat_format(ChatFormatOptions options) {
  return std::make_unique<ChatFormatWriter>(std::move(options));
}

}  // namespace mach::server
