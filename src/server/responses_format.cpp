#include <ctime>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "server/openai_usage.h"
#include "server/responses.h"

namespace mach::server {
namespace {

class ResponsesWriter final : public ReplyFormat {
 public:
  explicit ResponsesWriter(ResponsesFormatOptions options)
      : options_(std::move(options)), created_(std::time(nullptr)) {}

  ApiStyle style() const noexcept override { return ApiStyle::kOpenAi; }

  std::string whole(const std::vector<FinishedChoice>& choices) override {
    const ReplyMessage& message = *choices.front().message;
    if (!message.reasoning.empty()) add_done(reasoning_item(next_id("rs"), message.reasoning, "completed"));
    if (!message.content.empty() || message.calls.empty()) {
      Json item = message_item(next_id("msg"), "completed");
      item["content"].push_back(text_part(message.content, message.tokens));
      add_done(std::move(item));
    }
    for (const ToolCall& call : message.calls)
      add_done(call_item(next_id("fc"), call, call.arguments, "completed"));
    return dump(finished(choices));
  }

  void begin(std::string& out) override {
    const Json response = head("in_progress");
    append(out, "response.created", {{"response", response}});
    append(out, "response.in_progress", {{"response", response}});
  }

  void delta(size_t, const ReplyDelta& delta, std::string& out) override {
    switch (delta.kind) {
      case ReplyDelta::Kind::kReasoning:
        open(Item::kReasoning, out);
        text_ += delta.text;
        return append(out, "response.reasoning_text.delta", at_part({{"delta", delta.text}}));
      case ReplyDelta::Kind::kContent:
        open(Item::kMessage, out);
        text_ += delta.text;
        tokens_.insert(tokens_.end(), delta.tokens.begin(), delta.tokens.end());
        return append(out, "response.output_text.delta",
                      at_part({{"delta", delta.text}, {"logprobs", logprobs(delta.tokens)}}));
      case ReplyDelta::Kind::kCall:
        break;
    }
    close(out);
    id_ = next_id("fc");
    append(out, "response.output_item.added",
           at_output({{"item", call_item(id_, delta.call, "", "in_progress")}}));
    append(out, "response.function_call_arguments.delta", at_item({{"delta", delta.call.arguments}}));
    append(out, "response.function_call_arguments.done",
           at_item({{"name", delta.call.name}, {"arguments", delta.call.arguments}}));
    item_done(call_item(id_, delta.call, delta.call.arguments, "completed"), out);
  }

  void choice_end(size_t, const FinishedChoice&, std::string& out) override {
    if (output_.empty() && open_ == Item::kNone) open(Item::kMessage, out);  // there is always one item
    close(out);
  }

  void end(const std::vector<FinishedChoice>& choices, std::string& out) override {
    const Json response = finished(choices);
    append(out, response["status"] == Json("completed") ? "response.completed" : "response.incomplete",
           {{"response", response}});
  }

  void error(const ApiError& error, std::string& out) override {
    Json response = head("failed");
    response["error"] = {{"code", error.code.empty() ? "server_error" : error.code},
                         {"message", error.message}};
    response["output"] = output_;
    append(out, "response.failed", {{"response", std::move(response)}});
  }

 private:
  enum class Item : uint8_t { kNone, kReasoning, kMessage };

  std::string next_id(std::string_view prefix) {
    return fmt::format("{}_{}{}", prefix, options_.id.substr(options_.id.find('_') + 1), item_count_++);
  }

  Json head(const char* status) const {
    Json response = {{"id", options_.id},
                     {"object", "response"},
                     {"created_at", created_},
                     {"status", status},
                     {"background", false},
                     {"error", nullptr},
                     {"incomplete_details", nullptr},
                     {"model", options_.model->id()},
                     {"output", Json::array()},
                     {"usage", nullptr}};
    response.update(options_.echo);
    return response;
  }

  Json finished(const std::vector<FinishedChoice>& choices) const {
    const bool cut = choices.front().message->finish_reason == "length";
    Json response = head(cut ? "incomplete" : "completed");
    if (cut) response["incomplete_details"] = {{"reason", "max_output_tokens"}};
    response["output"] = output_;
    const UsageTotals totals = usage_totals(choices);
    response["usage"] = {{"input_tokens", totals.prompt_tokens},
                         {"input_tokens_details", {{"cached_tokens", totals.cached_tokens}}},
                         {"output_tokens", totals.completion_tokens},
                         {"output_tokens_details", {{"reasoning_tokens", totals.reasoning_tokens}}},
                         {"total_tokens", totals.prompt_tokens + totals.completion_tokens}};
    response["completed_at"] = std::time(nullptr);
    return response;
  }

  Json logprobs(const std::vector<ScoredToken>& tokens) const {
    if (!options_.with_logprobs) return Json::array();
    return chat_logprobs(tokens, options_.model->engine().tokenizer())["content"];
  }

  Json text_part(const std::string& text, const std::vector<ScoredToken>& tokens) const {
    return {{"type", "output_text"},
            {"text", text},
            {"annotations", Json::array()},
            {"logprobs", logprobs(tokens)}};
  }

  static Json message_item(const std::string& id, const char* status) {
    return {{"id", id},
            {"type", "message"},
            {"status", status},
            {"role", "assistant"},
            {"content", Json::array()}};
  }

  Json reasoning_item(const std::string& id, const std::string& text, const char* status) const {
    Json item = {{"id", id}, {"type", "reasoning"}, {"summary", Json::array()}, {"content", Json::array()}};
    if (!text.empty()) {
      const Json part = {{"type", "reasoning_text"}, {"text", text}};
      item["content"].push_back(part);
    }
    item["encrypted_content"] = options_.with_encrypted_reasoning ? Json(pack_reasoning(text)) : Json();
    item["status"] = status;
    return item;
  }

  static Json call_item(const std::string& id, const ToolCall& call, const std::string& arguments,
                        const char* status) {
    return {{"id", id},           {"type", "function_call"}, {"status", status},
            {"call_id", call.id}, {"name", call.name},       {"arguments", arguments}};
  }

  void append(std::string& out, const char* type, Json event) {
    Json whole = {{"type", type}, {"sequence_number", sequence_++}};
    whole.update(event);
    append_event(out, type, whole);
  }

  Json at_output(Json event) const {
    Json whole = {{"output_index", output_.size()}};
    whole.update(event);
    return whole;
  }
  Json at_item(Json event) const {
    Json whole = {{"item_id", id_}, {"output_index", output_.size()}};
    whole.update(event);
    return whole;
  }
  Json at_part(Json event) const {
    Json whole = at_item({{"content_index", 0}});
    whole.update(event);
    return whole;
  }

  void add_done(Json item) { output_.push_back(std::move(item)); }

  void item_done(Json item, std::string& out) {
    append(out, "response.output_item.done", at_output({{"item", item}}));
    add_done(std::move(item));
  }

  void open(Item item, std::string& out) {
    if (open_ == item) return;
    close(out);
    open_ = item;
    const bool message = item == Item::kMessage;
    id_ = next_id(message ? "msg" : "rs");
    append(out, "response.output_item.added",
           at_output({{"item", message ? message_item(id_, "in_progress")
                                       : reasoning_item(id_, "", "in_progress")}}));
    if (message) append(out, "response.content_part.added", at_part({{"part", text_part("", {})}}));
  }

  void close(std::string& out) {
    if (open_ == Item::kReasoning) {
      append(out, "response.reasoning_text.done", at_part({{"text", text_}}));
      item_done(reasoning_item(id_, text_, "completed"), out);
    } else if (open_ == Item::kMessage) {
      const Json part = text_part(text_, tokens_);
      append(out, "response.output_text.done", at_part({{"text", text_}, {"logprobs", logprobs(tokens_)}}));
      append(out, "response.content_part.done", at_part({{"part", part}}));
      Json item = message_item(id_, "completed");
      item["content"].push_back(part);
      item_done(std::move(item), out);
    }
    open_ = Item::kNone;
    text_.clear();
    tokens_.clear();
  }

  const ResponsesFormatOptions options_;
  const int64_t created_;
  Json output_ = Json::array();  // finished items
  uint64_t sequence_ = 0;
  size_t item_count_ = 0;
  Item open_ = Item::kNone;
  std::string id_;    // of the open item
  std::string text_;  // of the open item
  std::vector<ScoredToken> tokens_;
};

}  // namespace

std::unique_ptr<ReplyFormat> make_responses_format(ResponsesFormatOptions options) {
  return std::make_unique<ResponsesWriter>(std::move(options));
}

}  // namespace mach::server
