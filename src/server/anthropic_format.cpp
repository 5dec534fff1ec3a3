#include <nlohmann/json.hpp>

#include "server/anthropic.h"
#include "server/openai_usage.h"

namespace mach::server {
namespace {

// Clients keep a thinking block's signature and send it back; nothing is signed here.
constexpr const char* kSignature = "mach";

std::string_view stop_reason(const FinishedChoice& choice) {
  if (choice.message->finish_reason == "tool_calls") return "tool_use";
  if (choice.message->finish_reason == "length") return "max_tokens";
  return choice.summary.matched_stop.empty() ? "end_turn" : "stop_sequence";
}

Json stop_sequence(const FinishedChoice& choice) {
  return stop_reason(choice) == "stop_sequence" ? Json(choice.summary.matched_stop) : Json();
}

// Tokens taken from the cache are not counted as input again.
Json usage_json(const JobSummary& summary) {
  return {{"input_tokens", summary.prompt_tokens - std::min(summary.cached_tokens, summary.prompt_tokens)},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", summary.cached_tokens},
          {"output_tokens", summary.generated_tokens}};
}

Json arguments_of(const ToolCall& call) {
  Json input = Json::parse(call.arguments, nullptr, false);
  return input.is_object() ? input : Json::object();
}

class MessagesWriter final : public ReplyFormat {
 public:
  explicit MessagesWriter(MessagesFormatOptions options) : options_(std::move(options)) {}

  ApiStyle style() const noexcept override { return ApiStyle::kAnthropic; }
  std::string_view keep_alive() const noexcept override {
    return "event: ping\ndata: {\"type\":\"ping\"}\n\n";
  }

  std::string whole(const std::vector<FinishedChoice>& choices) override {
    const FinishedChoice& choice = choices.front();
    const ReplyMessage& message = *choice.message;
    Json body = head();
    if (!message.reasoning.empty()) {
      body["content"].push_back(
          {{"type", "thinking"}, {"thinking", message.reasoning}, {"signature", kSignature}});
    }
    if (!message.content.empty() || message.calls.empty()) {
      body["content"].push_back({{"type", "text"}, {"text", message.content}});
    }
    for (const ToolCall& call : message.calls) {
      body["content"].push_back(
          {{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", arguments_of(call)}});
    }
    body["stop_reason"] = stop_reason(choice);
    body["stop_sequence"] = stop_sequence(choice);
    body["usage"] = usage_json(choice.summary);
    return dump(body);
  }

  void begin(std::string& out) override {
    Json message = head();
    message["usage"] = {{"input_tokens", options_.prompt_tokens}, {"output_tokens", 0}};
    append(out, {{"type", "message_start"}, {"message", std::move(message)}});
    append(out, {{"type", "ping"}});
  }

  void delta(size_t, const ReplyDelta& delta, std::string& out) override {
    switch (delta.kind) {
      case ReplyDelta::Kind::kReasoning:
        open(Block::kThinking, {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}}, out);
        return write({{"type", "thinking_delta"}, {"thinking", delta.text}}, out);
      case ReplyDelta::Kind::kContent:
        open(Block::kText, {{"type", "text"}, {"text", ""}}, out);
        return write({{"type", "text_delta"}, {"text", delta.text}}, out);
      case ReplyDelta::Kind::kCall:
        break;
    }
    close(out);
    open(Block::kCall,
         {{"type", "tool_use"}, {"id", delta.call.id}, {"name", delta.call.name}, {"input", Json::object()}},
         out);
    write({{"type", "input_json_delta"}, {"partial_json", delta.call.arguments}}, out);
    close(out);
  }

  void choice_end(size_t, const FinishedChoice& end, std::string& out) override {
    if (blocks_ == 0) open(Block::kText, {{"type", "text"}, {"text", ""}}, out);  // there is always one
    close(out);
    append(out, {{"type", "message_delta"},
                 {"delta", {{"stop_reason", stop_reason(end)}, {"stop_sequence", stop_sequence(end)}}},
                 {"usage", usage_json(end.summary)}});
  }

  void end(const std::vector<FinishedChoice>&, std::string& out) override {
    append(out, {{"type", "message_stop"}});
  }

  void error(const ApiError& error, std::string& out) override { append(out, error_body(error, style())); }

 private:
  enum class Block : uint8_t { kNone, kText, kThinking, kCall };

  Json head() const {
    return {{"id", options_.id},        {"type", "message"},
            {"role", "assistant"},      {"model", options_.model->id()},
            {"content", Json::array()}, {"stop_reason", nullptr},
            {"stop_sequence", nullptr}};
  }

  static void append(std::string& out, const Json& event) {
    append_event(out, event["type"].get_ref<const std::string&>(), event);
  }

  void open(Block block, Json content, std::string& out) {
    if (open_ == block && block != Block::kCall) return;
    close(out);
    open_ = block;
    append(out, {{"type", "content_block_start"}, {"index", blocks_}, {"content_block", std::move(content)}});
    ++blocks_;
  }

  void write(Json delta, std::string& out) const {
    append(out, {{"type", "content_block_delta"}, {"index", blocks_ - 1}, {"delta", std::move(delta)}});
  }

  void close(std::string& out) {
    if (open_ == Block::kNone) return;
    if (open_ == Block::kThinking) write({{"type", "signature_delta"}, {"signature", kSignature}}, out);
    append(out, {{"type", "content_block_stop"}, {"index", blocks_ - 1}});
    open_ = Block::kNone;
  }

  const MessagesFormatOptions options_;
  Block open_ = Block::kNone;
  size_t blocks_ = 0;
};

}  // namespace

std::unique_ptr<ReplyFormat> make_messages_format(MessagesFormatOptions options) {
  return std::make_unique<MessagesWriter>(std::move(options));
}

}  // namespace mach::server
