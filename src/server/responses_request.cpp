#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/quoted_name.h"
#include "server/responses.h"

namespace mach::server {
namespace {

constexpr FieldRow kResponsesRows[] = {
    rows::kModel,
    {"input", kString | kArray, Handling::kUsed,
     "a text, or items: message, function_call, function_call_output, reasoning; text parts only"},
    {"instructions", kString, Handling::kUsed, "a first system message"},
    rows::kStream,
    {"max_output_tokens", kInteger, Handling::kUsed, "default: to the end of the context"},
    rows::kTemperature,
    rows::kTopP,
    {"top_logprobs", kInteger, Handling::kUsed, "0 to 20, with include message.output_text.logprobs"},
    {"tools", kArray, Handling::kUsed,
     "of type function; hosted web search is passed over, others are refused"},
    {"tool_choice", kString | kObject, Handling::kUsed, "auto, none, required, or a named function"},
    {"parallel_tool_calls", kBoolean, Handling::kUsed, "false: generation ends after the first call"},
    {"text", kObject, Handling::kUsed, "format: text, json_object, json_schema"},
    {"reasoning", kObject, Handling::kUsed, "effort; summary has no effect"},
    {"include", kArray, Handling::kUsed, "message.output_text.logprobs, reasoning.encrypted_content"},
    {"metadata", kObject, Handling::kUsed, "repeated in the response"},
    {"store", kBoolean, Handling::kIgnored, "nothing is stored"},
    {"truncation", kString, Handling::kIgnored, "an input that is too long is an error"},
    rows::kUser,
    rows::kServiceTier,
    {"safety_identifier", kString, Handling::kIgnored, ""},
    {"prompt_cache_key", kString, Handling::kIgnored, ""},
    {"prompt_cache_retention", kString, Handling::kIgnored, ""},
    {"stream_options", kObject, Handling::kIgnored, ""},
    {"client_metadata", kObject, Handling::kIgnored, ""},
    {"max_tool_calls", kInteger, Handling::kIgnored, "counts hosted tools, of which there are none"},
    {"previous_response_id", kString, Handling::kRefused, "nothing is stored: send the whole conversation"},
    {"conversation", kString | kObject, Handling::kRefused, "nothing is stored: send the whole conversation"},
    {"prompt", kObject, Handling::kRefused, "there are no stored prompts"},
    {"background", kBoolean, Handling::kRefused, "nothing is stored", "false"},
};

constexpr FieldRow kToolRows[] = {
    {"type", kString, Handling::kUsed, ""},        {"name", kString, Handling::kUsed, ""},
    {"description", kString, Handling::kUsed, ""}, {"parameters", kObject, Handling::kUsed, ""},
    {"strict", kBoolean, Handling::kUsed, ""},
};
constexpr FieldTable kToolFields{"tools[] of /v1/responses", kToolRows};

constexpr FieldRow kTextRows[] = {
    {"format", kObject, Handling::kUsed, ""},
    {"verbosity", kString, Handling::kIgnored, ""},
};
constexpr FieldTable kTextFields{"text", kTextRows};

constexpr FieldRow kFormatRows[] = {
    {"type", kString, Handling::kUsed, ""},           {"name", kString, Handling::kIgnored, ""},
    {"description", kString, Handling::kIgnored, ""}, {"schema", kObject | kBoolean, Handling::kUsed, ""},
    {"strict", kBoolean, Handling::kIgnored, ""},
};
constexpr FieldTable kFormatFields{"text.format", kFormatRows};

constexpr FieldRow kReasoningRows[] = {
    {"effort", kString, Handling::kUsed, ""},
    {"summary", kString, Handling::kIgnored, ""},
    {"generate_summary", kString, Handling::kIgnored, ""},
};
constexpr FieldTable kReasoningFields{"reasoning", kReasoningRows};

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw Error(ErrorCode::kInvalidRequest, path + ": " + why);
}

const std::string* text_member(const Json& object, const char* key, const std::string& path) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return nullptr;
  if (!found->is_string()) refuse(path + "." + key, "must be a string");
  return &found->get_ref<const std::string&>();
}

const std::string& required_text(const Json& object, const char* key, const std::string& path) {
  const std::string* text = text_member(object, key, path);
  if (text == nullptr) refuse(path + "." + key, "is missing");
  return *text;
}

Json text_part(const std::string& text) { return {{"type", "text"}, {"text", text}}; }

// The text parts of a message, or of a tool's output.
Json read_content(const Json& content, const std::string& path) {
  Json parts = Json::array();
  if (content.is_string()) {
    parts.push_back(text_part(content.get<std::string>()));
    return parts;
  }
  if (!content.is_array()) refuse(path, "must be a string or an array of parts");
  constexpr std::string_view kText[] = {"input_text", "output_text", "text", "summary_text",
                                        "reasoning_text"};
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string item = item_path(path, i);
    const std::string& type = required_text(as_object(content[i], item), "type", item);
    if (type == "refusal") {
      parts.push_back(text_part(required_text(content[i], "refusal", item)));
    } else if (std::find(std::begin(kText), std::end(kText), type) != std::end(kText)) {
      parts.push_back(text_part(required_text(content[i], "text", item)));
    } else {
      refuse(item + ".type", fmt::format("{} is not supported, only text", quoted_name(type)));
    }
  }
  return parts;
}

std::string joined(const Json& parts) {
  std::string text;
  for (const Json& part : parts) text += part["text"].get_ref<const std::string&>();
  return text;
}

// Brings items into messages: what the assistant did in a row (reasoning, text, calls) is one message of it.
class ItemReader {
 public:
  explicit ItemReader(ChatTask& task) : task_(task) {}

  void read(const Json& item, const std::string& path) {
    const std::string* type = text_member(as_object(item, path), "type", path);
    const std::string kind = type != nullptr ? *type : "message";
    if (kind == "message") return read_message(item, path);
    if (kind == "reasoning") return read_reasoning(item, path);
    if (kind == "function_call") return read_call(item, path);
    if (kind == "function_call_output") return read_output(item, path);
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}.type: {} is not supported", path, quoted_name(kind)));
  }

  void end() {
    if (assistant_.is_null()) return;
    if (!assistant_.contains("content")) assistant_["content"] = "";
    add(std::exchange(assistant_, nullptr), assistant_path_);
  }

 private:
  void add(Json message, const std::string& path) {
    task_.messages.push_back(std::move(message));
    task_.origins.push_back(path);
  }

  Json& assistant(const std::string& path) {
    if (assistant_.is_null()) {
      assistant_ = {{"role", "assistant"}};
      assistant_path_ = path;
    }
    return assistant_;
  }

  void read_message(const Json& item, const std::string& path) {
    const std::string& role = required_text(item, "role", path);
    const auto content = item.find("content");
    if (content == item.end() || content->is_null()) refuse(path + ".content", "is missing");
    Json parts = read_content(*content, path + ".content");
    if (role != "assistant") {
      end();
      return add({{"role", role}, {"content", std::move(parts)}}, path);
    }
    // Text after calls begins a message of its own: in one message it would come before them.
    if (!assistant_.is_null() && (assistant_.contains("tool_calls") || assistant_.contains("content"))) end();
    assistant(path)["content"] = std::move(parts);
  }

  void read_reasoning(const Json& item, const std::string& path) {
    std::string text;
    for (const char* key : {"content", "summary"}) {
      const auto parts = item.find(key);
      if (text.empty() && parts != item.end() && !parts->is_null()) {
        text = joined(read_content(*parts, path + "." + key));
      }
    }
    const std::string* packed = text_member(item, "encrypted_content", path);
    if (text.empty() && packed != nullptr) text = unpack_reasoning(*packed);
    if (!assistant_.is_null()) end();
    if (!text.empty()) assistant(path)["reasoning_content"] = text;
  }

  void read_call(const Json& item, const std::string& path) {
    Json call = {{"id", required_text(item, "call_id", path)},
                 {"type", "function"},
                 {"function",
                  {{"name", required_text(item, "name", path)},
                   {"arguments", required_text(item, "arguments", path)}}}};
    assistant(path)["tool_calls"].push_back(std::move(call));
  }

  void read_output(const Json& item, const std::string& path) {
    end();
    const auto output = item.find("output");
    if (output == item.end()) refuse(path + ".output", "is missing");
    add({{"role", "tool"},
         {"tool_call_id", required_text(item, "call_id", path)},
         {"content", read_content(*output, path + ".output")}},
        path);
  }

  ChatTask& task_;
  Json assistant_;  // being put together, or null
  std::string assistant_path_;
};

Json read_tools(const Json& tools, std::vector<std::string>& passed_over) {
  Json result = Json::array();
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string path = item_path("tools", i);
    const std::string& type = required_text(as_object(tools[i], path), "type", path);
    if (type.starts_with("web_search")) {  // a hosted tool that no model here can call
      passed_over.push_back(path);
      continue;
    }
    if (type != "function") {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("{}.type: {} is not supported, only function", path, quoted_name(type)));
    }
    const FieldReader fields(tools[i], kToolFields, path);
    Json function = {{"name", fields.required_text("name")}};
    if (const std::string* text = fields.text("description")) function["description"] = *text;
    if (const Json* parameters = fields.value("parameters")) function["parameters"] = *parameters;
    if (fields.flag("strict")) function["strict"] = true;
    result.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return result.empty() ? Json() : result;
}

void read_tool_choice(const FieldReader& fields, ChatTask& task) {
  const Json* given = fields.value("tool_choice");
  if (given == nullptr) return;
  if (given->is_string()) {
    constexpr std::string_view kChoices[] = {"auto", "none", "required"};
    constexpr ToolChoice::Kind kKinds[] = {ToolChoice::Kind::kAuto, ToolChoice::Kind::kNone,
                                           ToolChoice::Kind::kRequired};
    const std::string_view name = fields.choice("tool_choice", kChoices);
    task.tool_choice.kind =
        kKinds[std::find(std::begin(kChoices), std::end(kChoices), name) - std::begin(kChoices)];
    if (name == "required" && task.tools.empty())
      fields.refuse("tool_choice", "is required, but there are no tools");
    return;
  }
  if (required_text(*given, "type", "tool_choice") != "function") {
    fields.cannot("tool_choice", "only {\"type\": \"function\", \"name\": ...} is supported");
  }
  task.tool_choice = {ToolChoice::Kind::kNamed, required_text(*given, "name", "tool_choice")};
  const bool known = std::any_of(task.tools.begin(), task.tools.end(), [&](const Json& tool) {
    return tool["function"]["name"] == Json(task.tool_choice.name);
  });
  if (!known) {
    fields.refuse("tool_choice",
                  fmt::format("{} is not among the tools", quoted_name(task.tool_choice.name)));
  }
}

void read_text_format(const FieldReader& fields, ChatTask& task) {
  const Json* text = fields.value("text");
  if (text == nullptr) return;
  const FieldReader inner(*text, kTextFields, "text");
  const Json* format = inner.value("format");
  if (format == nullptr) return;
  const FieldReader form(*format, kFormatFields, "text.format");
  form.required_text("type");
  constexpr std::string_view kTypes[] = {"text", "json_object", "json_schema"};
  const std::string_view type = form.choice("type", kTypes);
  task.form.field = "text.format";
  if (type == "json_object") task.form.kind = OutputForm::Kind::kJsonObject;
  if (type != "json_schema") return;
  task.form.kind = OutputForm::Kind::kJsonSchema;
  task.form.schema = form.required("schema");
  task.form.field = "text.format.schema";
}

void read_include(const FieldReader& fields, ResponsesRequest& request) {
  const Json* include = fields.value("include");
  if (include == nullptr) return;
  for (const Json& one : *include) {
    if (!one.is_string()) fields.refuse("include", "must be strings");
    if (one == Json("message.output_text.logprobs")) {
      request.with_logprobs = true;
    } else if (one == Json("reasoning.encrypted_content")) {
      request.with_encrypted_reasoning = true;
    } else {
      request.unknown.push_back("include " + printable(one.get_ref<const std::string&>(), 64));
    }
  }
}

// The fields of the request that the response object repeats, as they came or as they stand by default.
Json echo_of(const Json& body, const ChatTask& task) {
  struct Row {
    const char* name;
    const char* otherwise;
  };
  constexpr Row kEchoed[] = {
      {"instructions", "null"},
      {"max_output_tokens", "null"},
      {"metadata", "{}"},
      {"parallel_tool_calls", "true"},
      {"reasoning", R"({"effort":null,"summary":null})"},
      {"temperature", "null"},
      {"text", R"({"format":{"type":"text"}})"},
      {"tool_choice", R"("auto")"},
      {"tools", "[]"},
      {"top_p", "null"},
      {"truncation", R"("disabled")"},
      {"user", "null"},
  };
  Json echo = Json::object();
  for (const Row& row : kEchoed) {
    const auto found = body.find(row.name);
    echo[row.name] = found == body.end() || found->is_null() ? Json::parse(row.otherwise) : *found;
  }
  const SamplingRequest& sampling = task.generation.sampling;
  if (sampling.temperature) echo["temperature"] = *sampling.temperature;
  echo["store"] = false;
  echo["previous_response_id"] = nullptr;
  return echo;
}

constexpr std::string_view kPackedMark = "mach:";

}  // namespace

const FieldTable kResponsesFields{"POST /v1/responses", kResponsesRows};

// Hexadecimal: opaque to clients, and nothing that could pass for a real ciphertext.
std::string pack_reasoning(const std::string& text) {
  std::string packed(kPackedMark);
  for (const char c : text) packed += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return packed;
}

std::string unpack_reasoning(const std::string& packed) {
  if (!packed.starts_with(kPackedMark) || (packed.size() - kPackedMark.size()) % 2 != 0) return {};
  std::string text;
  for (size_t i = kPackedMark.size(); i < packed.size(); i += 2) {
    unsigned value = 0;
    for (const char c : packed.substr(i, 2)) {
      const size_t digit = std::string_view("0123456789abcdef").find(c);
      if (digit == std::string_view::npos) return {};
      value = value * 16 + static_cast<unsigned>(digit);
    }
    text += static_cast<char>(value);
  }
  return text;
}

ResponsesRequest read_responses_request(const Json& body, const RequestLimits& limits) {
  const FieldReader fields(body, kResponsesFields);
  ResponsesRequest request;
  ChatTask& task = request.task;
  if (const std::string* model = fields.text("model")) request.model = *model;
  request.unknown = fields.unknown();
  if (const std::string* instructions = fields.text("instructions")) {
    task.messages.push_back({{"role", "system"}, {"content", *instructions}});
    task.origins.emplace_back("instructions");
  }
  const Json& input = fields.required("input");
  if (input.is_string()) {
    task.messages.push_back({{"role", "user"}, {"content", input}});
    task.origins.emplace_back("input");
  } else {
    checked_array(input, "input", limits.max_messages);
    if (input.empty()) fields.refuse("input", "must not be empty");
    ItemReader reader(task);
    for (size_t i = 0; i < input.size(); ++i) reader.read(input[i], item_path("input", i));
    reader.end();
  }
  if (const Json* tools = fields.value("tools")) {
    task.tools = read_tools(checked_array(*tools, "tools", limits.max_tools), request.unknown);
  }
  read_tool_choice(fields, task);
  task.parallel_calls = fields.boolean("parallel_tool_calls").value_or(true);
  read_text_format(fields, task);
  if (const Json* reasoning = fields.value("reasoning")) {
    const FieldReader inner(*reasoning, kReasoningFields, "reasoning");
    if (const std::string* effort = inner.text("effort")) {
      apply_reasoning_effort(task.variables, *effort, "reasoning.effort");
    }
  }
  read_include(fields, request);

  SamplingRequest& sampling = task.generation.sampling;
  if (const auto value = fields.number("temperature", 0, kMaxTemperature)) {
    sampling.temperature = static_cast<float>(*value);
  }
  if (const auto value = fields.number("top_p", 0, 1)) {
    if (*value <= 0) fields.refuse("top_p", "must be above 0");
    sampling.top_p = static_cast<float>(*value);
  }
  constexpr int64_t kMaxTop = 20;
  const auto top = fields.integer("top_logprobs", 0, kMaxTop);
  if (request.with_logprobs) sampling.logprobs = static_cast<uint32_t>(top.value_or(0));
  if (const auto most = fields.integer("max_output_tokens", 1, std::numeric_limits<int32_t>::max())) {
    task.generation.max_tokens = static_cast<uint32_t>(*most);
  }
  fields.value("metadata");
  task.stream.stream = fields.flag("stream");
  request.echo = echo_of(body, task);
  return request;
}

}  // namespace mach::server
