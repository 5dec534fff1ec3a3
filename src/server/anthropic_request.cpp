#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/quoted_name.h"
#include "server/anthropic.h"

namespace mach::server {
namespace {

constexpr FieldRow kMessagesRows[] = {
    rows::kModel,
    {"messages", kArray, Handling::kUsed,
     "user and assistant; blocks text, thinking, tool_use, tool_result. A last assistant message is "
     "continued"},
    {"system", kString | kArray, Handling::kUsed, "a text, or text blocks"},
    {"max_tokens", kInteger, Handling::kUsed, "required; cut to what the context leaves"},
    rows::kStream,
    {"stop_sequences", kArray, Handling::kUsed, "up to 64"},
    rows::kTemperature,
    rows::kTopP,
    rows::kTopK,
    {"tools", kArray, Handling::kUsed,
     "of your own; arguments of strict ones follow the schema, server tools are refused"},
    {"tool_choice", kObject, Handling::kUsed, "auto, any, tool, none; disable_parallel_tool_use"},
    {"thinking", kObject, Handling::kUsed, "enabled, disabled, adaptive; budget_tokens has no effect"},
    {"output_config", kObject, Handling::kUsed, "effort, as reasoning_effort of chat completions; format"},
    {"output_format", kObject, Handling::kUsed, "json_schema"},
    rows::kMetadata,
    rows::kServiceTier,
    {"cache_control", kObject, Handling::kIgnored, "the prefix cache finds common prefixes by itself"},
    {"context_management", kObject, Handling::kIgnored, ""},
    {"betas", kArray, Handling::kIgnored, ""},
    {"anthropic_beta", kArray, Handling::kIgnored, ""},
    {"inference_geo", kString, Handling::kIgnored, ""},
    {"speed", kString, Handling::kIgnored, ""},
    {"mcp_servers", kArray, Handling::kRefused, "there is no MCP client in the server", "[]"},
    {"container", kString | kObject, Handling::kRefused, "there are no containers"},
};

constexpr FieldRow kToolRows[] = {
    {"name", kString, Handling::kUsed, ""},
    {"description", kString, Handling::kUsed, ""},
    {"input_schema", kObject, Handling::kUsed, ""},
    {"type", kString, Handling::kUsed, "custom"},
    {"strict", kBoolean, Handling::kUsed, "arguments are held to the schema"},
    {"cache_control", kObject, Handling::kIgnored, ""},
    {"eager_input_streaming", kBoolean, Handling::kIgnored, ""},
    {"defer_loading", kBoolean, Handling::kIgnored, ""},
    {"input_examples", kArray, Handling::kIgnored, ""},
    {"allowed_callers", kArray, Handling::kIgnored, ""},
};

constexpr FieldRow kToolChoiceRows[] = {
    {"type", kString, Handling::kUsed, ""},
    {"name", kString, Handling::kUsed, ""},
    {"disable_parallel_tool_use", kBoolean, Handling::kUsed, ""},
};
constexpr FieldTable kToolChoiceFields{"tool_choice", kToolChoiceRows};

constexpr FieldRow kThinkingRows[] = {
    {"type", kString, Handling::kUsed, ""},
    {"budget_tokens", kInteger, Handling::kIgnored, ""},
    {"display", kString, Handling::kIgnored, ""},
};
constexpr FieldTable kThinkingFields{"thinking", kThinkingRows};

constexpr FieldRow kOutputConfigRows[] = {
    {"effort", kString, Handling::kUsed, ""},
    {"format", kObject, Handling::kUsed, ""},
};
constexpr FieldTable kOutputConfigFields{"output_config", kOutputConfigRows};

constexpr FieldRow kOutputFormatRows[] = {
    {"type", kString, Handling::kUsed, ""},
    {"schema", kObject, Handling::kUsed, ""},
};
constexpr FieldTable kOutputFormatFields{"output_format", kOutputFormatRows};

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw Error(ErrorCode::kInvalidRequest, path + ": " + why);
}

const std::string& string_of(const Json& object, const char* key, const std::string& path) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) refuse(path + "." + key, "must be a string");
  return found->get_ref<const std::string&>();
}

Json text_part(const std::string& text) { return {{"type", "text"}, {"text", text}}; }

// Text blocks of a system prompt or a tool result.
Json text_parts(const Json& content, const std::string& path) {
  Json parts = Json::array();
  if (content.is_string()) {
    parts.push_back(text_part(content.get<std::string>()));
    return parts;
  }
  if (!content.is_array()) refuse(path, "must be a string or an array of text blocks");
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string item = item_path(path, i);
    const std::string& type = string_of(as_object(content[i], item), "type", item);
    if (type != "text")
      refuse(item + ".type", fmt::format("{} is not supported, only text", quoted_name(type)));
    parts.push_back(text_part(string_of(content[i], "text", item)));
  }
  return parts;
}

// Turns Anthropic's messages into OpenAI's, which may be more: each tool_result becomes one.
class MessageReader {
 public:
  explicit MessageReader(ChatTask& task) : task_(task) {}

  void read(const Json& message, const std::string& path) {
    const std::string& role = string_of(as_object(message, path), "role", path);
    const auto content = message.find("content");
    if (content == message.end()) refuse(path + ".content", "is missing");
    if (role == "user") return read_user(*content, path);
    if (role == "assistant") return read_assistant(*content, path);
    if (role != "system")
      refuse(path + ".role", quoted_name(role) + " is unknown; user or assistant is expected");
    add({{"role", "system"}, {"content", text_parts(*content, path + ".content")}}, path);
  }

 private:
  void add(Json message, const std::string& path) {
    task_.messages.push_back(std::move(message));
    task_.origins.push_back(path);
  }

  void read_user(const Json& content, const std::string& path) {
    if (content.is_string()) return add({{"role", "user"}, {"content", content}}, path);
    const std::string content_path = path + ".content";
    if (!content.is_array()) refuse(content_path, "must be a string or an array of blocks");
    Json parts = Json::array();
    for (size_t i = 0; i < content.size(); ++i) {
      const std::string item = item_path(content_path, i);
      const Json& block = as_object(content[i], item);
      const std::string& type = string_of(block, "type", item);
      if (type == "text") {
        parts.push_back(text_part(string_of(block, "text", item)));
      } else if (type == "tool_result") {
        const auto result = block.find("content");
        Json answer = {{"role", "tool"}, {"tool_call_id", string_of(block, "tool_use_id", item)}};
        answer["content"] =
            result == block.end() || result->is_null() ? Json("") : text_parts(*result, item + ".content");
        add(std::move(answer), item);
      } else {
        refuse(item + ".type", fmt::format("{} is not supported in a user message", quoted_name(type)));
      }
    }
    if (!parts.empty()) add({{"role", "user"}, {"content", std::move(parts)}}, path);
    if (content.empty()) refuse(content_path, "must not be empty");
  }

  void read_assistant(const Json& content, const std::string& path) {
    Json message = {{"role", "assistant"}, {"content", content}};
    if (content.is_string()) return add(std::move(message), path);
    const std::string content_path = path + ".content";
    if (!content.is_array()) refuse(content_path, "must be a string or an array of blocks");
    message["content"] = Json::array();
    std::string thinking;
    for (size_t i = 0; i < content.size(); ++i) {
      const std::string item = item_path(content_path, i);
      const Json& block = as_object(content[i], item);
      const std::string& type = string_of(block, "type", item);
      if (type == "text") {
        message["content"].push_back(text_part(string_of(block, "text", item)));
      } else if (type == "thinking") {
        thinking += string_of(block, "thinking", item);
      } else if (type == "tool_use") {
        const auto input = block.find("input");
        if (input == block.end() || !input->is_object()) refuse(item + ".input", "must be an object");
        message["tool_calls"].push_back(
            {{"id", string_of(block, "id", item)},
             {"type", "function"},
             {"function", {{"name", string_of(block, "name", item)}, {"arguments", *input}}}});
      } else if (type != "redacted_thinking") {
        refuse(item + ".type", fmt::format("{} is not supported in an assistant message", quoted_name(type)));
      }
    }
    if (!thinking.empty()) message["reasoning_content"] = thinking;
    add(std::move(message), path);
  }

  ChatTask& task_;
};

Json read_tools(const Json& tools) {
  Json result = Json::array();
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string path = item_path("tools", i);
    const auto type = as_object(tools[i], path).find("type");
    if (type != tools[i].end() && !type->is_null() && *type != Json("custom")) {
      throw Error(ErrorCode::kUnsupported, path + ".type: server tools are not supported, only custom ones");
    }
    const FieldReader fields(tools[i], kAnthropicToolFields, path);
    Json function = {{"name", fields.required_text("name")}};
    if (const std::string* text = fields.text("description")) function["description"] = *text;
    function["parameters"] = fields.required("input_schema");
    if (fields.flag("strict")) function["strict"] = true;
    result.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return result.empty() ? Json() : result;
}

void read_tool_choice(const FieldReader& fields, ChatTask& task) {
  const Json* given = fields.value("tool_choice");
  if (given == nullptr) return;
  const FieldReader inner(*given, kToolChoiceFields, "tool_choice");
  inner.required_text("type");
  constexpr std::string_view kTypes[] = {"auto", "none", "any", "tool"};
  constexpr ToolChoice::Kind kKinds[] = {ToolChoice::Kind::kAuto, ToolChoice::Kind::kNone,
                                         ToolChoice::Kind::kRequired, ToolChoice::Kind::kNamed};
  const std::string_view type = inner.choice("type", kTypes);
  task.tool_choice.kind = kKinds[std::find(std::begin(kTypes), std::end(kTypes), type) - std::begin(kTypes)];
  task.parallel_calls = !inner.flag("disable_parallel_tool_use");
  if (type == "any" && task.tools.empty()) fields.refuse("tool_choice", "is any, but there are no tools");
  if (type != "tool") return;
  task.tool_choice.name = inner.required_text("name");
  const bool known = std::any_of(task.tools.begin(), task.tools.end(), [&](const Json& tool) {
    return tool["function"]["name"] == Json(task.tool_choice.name);
  });
  if (!known) {
    fields.refuse("tool_choice",
                  fmt::format("{} is not among the tools", quoted_name(task.tool_choice.name)));
  }
}

OutputForm read_output_format(const Json& given, const std::string& path) {
  const FieldReader fields(given, kOutputFormatFields, path);
  fields.required_text("type");
  constexpr std::string_view kTypes[] = {"json_schema"};
  fields.choice("type", kTypes);
  OutputForm form;
  form.kind = OutputForm::Kind::kJsonSchema;
  form.schema = fields.required("schema");
  form.field = path + ".schema";
  return form;
}

void read_thinking(const FieldReader& fields, ChatTask& task) {
  if (const Json* config = fields.value("output_config")) {
    const FieldReader inner(*config, kOutputConfigFields, "output_config");
    if (const std::string* effort = inner.text("effort")) {
      apply_reasoning_effort(task.variables, *effort, "output_config.effort");
    }
    if (const Json* format = inner.value("format")) {
      task.form = read_output_format(*format, "output_config.format");
    }
  }
  if (const Json* format = fields.value("output_format"))
    task.form = read_output_format(*format, "output_format");
  const Json* given = fields.value("thinking");
  if (given == nullptr) return;
  const FieldReader inner(*given, kThinkingFields, "thinking");
  inner.required_text("type");
  constexpr std::string_view kTypes[] = {"enabled", "disabled", "adaptive"};
  const std::string_view type = inner.choice("type", kTypes);
  if (type != "adaptive") set_thinking(task.variables, type == "enabled");
}

// A last message of the assistant is the beginning of its answer.
void take_prefill(ChatTask& task) {
  if (task.messages.empty() || task.messages.back()["role"] != Json("assistant")) return;
  const Json& last = task.messages.back();
  if (last.contains("tool_calls")) return;  // a call without its result: the template's business
  std::string text;
  if (last["content"].is_string()) {
    text = last["content"].get<std::string>();
  } else {
    for (const Json& part : last["content"]) text += part["text"].get_ref<const std::string&>();
  }
  task.messages.erase(task.messages.size() - 1);
  task.prefill_field = task.origins.back();
  task.origins.pop_back();
  task.prefill = std::move(text);
}

}  // namespace

const FieldTable kMessagesFields{"POST /v1/messages", kMessagesRows};
const FieldTable kAnthropicToolFields{"tools[] of /v1/messages", kToolRows};

MessagesRequest read_messages_request(const Json& body, const RequestLimits& limits, bool count_only) {
  const FieldReader fields(body, kMessagesFields);
  MessagesRequest request;
  ChatTask& task = request.task;
  if (const std::string* model = fields.text("model")) request.model = *model;
  request.unknown = fields.unknown();

  const auto most = fields.integer("max_tokens", 1, std::numeric_limits<int32_t>::max());
  if (!most && !count_only) fields.refuse("max_tokens", "is missing");
  if (most) task.generation.max_tokens = static_cast<uint32_t>(*most);

  if (const Json* system = fields.value("system")) {
    task.messages.push_back({{"role", "system"}, {"content", text_parts(*system, "system")}});
    task.origins.emplace_back("system");
  }
  const Json& messages = checked_array(fields.required("messages"), "messages", limits.max_messages);
  if (messages.empty()) fields.refuse("messages", "must not be empty");
  MessageReader reader(task);
  for (size_t i = 0; i < messages.size(); ++i) reader.read(messages[i], item_path("messages", i));
  take_prefill(task);

  if (const Json* tools = fields.value("tools")) {
    task.tools = read_tools(checked_array(*tools, "tools", limits.max_tools));
  }
  read_tool_choice(fields, task);
  read_thinking(fields, task);

  SamplingRequest& sampling = task.generation.sampling;
  if (const auto value = fields.number("temperature", 0, kMaxTemperature)) {
    sampling.temperature = static_cast<float>(*value);
  }
  if (const auto value = fields.number("top_p", 0, 1)) {
    if (*value <= 0) fields.refuse("top_p", "must be above 0");
    sampling.top_p = static_cast<float>(*value);
  }
  if (const auto value = fields.integer("top_k", -1, std::numeric_limits<int32_t>::max())) {
    sampling.top_k = static_cast<uint32_t>(std::max<int64_t>(*value, 0));
  }
  task.generation.stop = read_stops(fields, "stop_sequences");
  task.stream.stream = fields.flag("stream");
  return request;
}

}  // namespace mach::server
