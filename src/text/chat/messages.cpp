#include "text/chat/messages.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "mach/error.h"

#include "base/quoted_name.h"
#include "text/chat/json_scanner.h"
#include "text/chat/json_text.h"

namespace mach {

namespace {

constexpr size_t kMaxToolNameBytes = 128;

[[noreturn]] void refuse(const std::string& field, const std::string& why) {
  throw Error(ErrorCode::kInvalidRequest, field + ": " + why);
}

std::string item(const std::string& field, size_t index) { return field + "[" + std::to_string(index) + "]"; }

// The member, null if it is absent or null.
const ChatJson* member(const ChatJson& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const std::string* string_member(const ChatJson& object, const char* key, const std::string& field) {
  const ChatJson* value = member(object, key);
  if (value == nullptr) return nullptr;
  if (!value->is_string()) refuse(field + "." + key, "must be a string");
  return &value->get_ref<const std::string&>();
}

// Templates print values by recursion.
void check_depth(const ChatJson& value, const std::string& field, size_t depth = 0) {
  if (depth > kMaxJsonDepth) refuse(field, "is nested deeper than " + std::to_string(kMaxJsonDepth));
  if (!value.is_structured()) return;
  for (const ChatJson& inner : value) check_depth(inner, field, depth + 1);
}

std::string part_text(const ChatJson& part, const std::string& field) {
  if (!part.is_object()) refuse(field, "must be an object with type and text");
  const std::string* type = string_member(part, "type", field);
  if (type == nullptr) refuse(field + ".type", "is missing");
  if (*type != "text" && *type != "input_text" && *type != "output_text") {
    refuse(field + ".type", quoted_name(*type) + " is not supported, only \"text\"");
  }
  const std::string* text = string_member(part, "text", field);
  if (text == nullptr) refuse(field + ".text", "is missing");
  return *text;
}

// Empty if there is no content.
std::optional<std::string> content_text(const ChatJson& message, const std::string& field) {
  const ChatJson* content = member(message, "content");
  if (content == nullptr) return std::nullopt;
  if (content->is_string()) return content->get<std::string>();
  const std::string content_field = field + ".content";
  if (!content->is_array()) refuse(content_field, "must be a string or an array of text parts");
  std::string text;
  for (size_t i = 0; i < content->size(); ++i) {
    if (i > 0) text += "\n";
    text += part_text((*content)[i], item(content_field, i));
  }
  return text;
}

std::string required_content(const ChatJson& message, const std::string& field) {
  auto text = content_text(message, field);
  if (!text) refuse(field + ".content", "is missing");
  return *std::move(text);
}

ChatJson call_arguments(const ChatJson& function, const std::string& field) {
  const ChatJson* arguments = member(function, "arguments");
  if (arguments == nullptr) return ChatJson::object();
  if (arguments->is_object()) {
    check_depth(*arguments, field);
    return *arguments;
  }
  const char* const wanted = "must be a JSON object, or its text";
  if (!arguments->is_string()) refuse(field, wanted);
  const std::string& text = arguments->get_ref<const std::string&>();
  if (trimmed(text).empty()) return ChatJson::object();
  if (json_kind(text) != JsonKind::kObject) refuse(field, wanted);
  try {
    return ChatJson::parse(text);
  } catch (const ChatJson::exception&) {  // a number beyond all range
    refuse(field, wanted);
  }
}

ChatJson normalised_call(const ChatJson& call, const std::string& field) {
  if (!call.is_object()) refuse(field, "must be an object");
  const std::string* type = string_member(call, "type", field);
  if (type != nullptr && *type != "function") refuse(field + ".type", "must be \"function\"");
  const ChatJson* function = member(call, "function");
  const std::string function_field = field + ".function";
  if (function == nullptr || !function->is_object())
    refuse(function_field, "must be an object with name and arguments");
  const std::string* name = string_member(*function, "name", function_field);
  if (name == nullptr || name->empty()) refuse(function_field + ".name", "is missing");
  ChatJson result = ChatJson::object();
  if (const std::string* id = string_member(call, "id", field)) result["id"] = *id;
  result["type"] = "function";
  result["function"] = {{"name", *name},
                        {"arguments", call_arguments(*function, function_field + ".arguments")}};
  return result;
}

void join(std::string& text, std::string_view separator, std::string_view more) {
  if (!text.empty() && !more.empty()) text += separator;
  text += more;
}

class Normaliser {
 public:
  explicit Normaliser(const ChatFormat& format) : format_(format) {}

  ChatJson run(const ChatJson& messages) {
    if (!messages.is_array() || messages.empty()) refuse("messages", "must be a non-empty array");
    for (size_t i = 0; i < messages.size(); ++i) add(messages[i], item("messages", i));
    end_answers();
    ChatJson result = ChatJson::array();
    if (has_system_) result.push_back({{"role", "system"}, {"content", system_}});
    for (ChatJson& message : messages_) result.push_back(std::move(message));
    return result;
  }

 private:
  void add(const ChatJson& message, const std::string& field) {
    if (!message.is_object()) refuse(field, "must be an object");
    const std::string* role = string_member(message, "role", field);
    if (role == nullptr) refuse(field + ".role", "is missing");
    if (*role == "tool") return add_answer(message, field);
    if (*role == "system" || *role == "developer") {
      has_system_ = true;
      join(system_, "\n\n", required_content(message, field));
      return;
    }
    end_answers();
    if (*role == "assistant") return add_assistant(message, field);
    if (*role != "user") {
      refuse(field + ".role",
             quoted_name(*role) + " is unknown; system, developer, user, assistant or tool is expected");
    }
    messages_.push_back({{"role", "user"}, {"content", required_content(message, field)}});
  }

  void add_assistant(const ChatJson& message, const std::string& field) {
    std::string content = content_text(message, field).value_or("");
    std::string reasoning;
    for (const char* key : {"reasoning_content", "reasoning", "thinking"}) {
      const std::string* text = string_member(message, key, field);
      if (text != nullptr && reasoning.empty()) reasoning = *text;
    }
    ChatJson calls = ChatJson::array();
    if (const ChatJson* given = member(message, "tool_calls")) {
      const std::string calls_field = field + ".tool_calls";
      if (!given->is_array()) refuse(calls_field, "must be an array");
      for (size_t i = 0; i < given->size(); ++i)
        calls.push_back(normalised_call((*given)[i], item(calls_field, i)));
    }
    if (format_.one_call_per_message && !calls.empty()) {
      join(reasoning, "\n", content);
      content.clear();
    }
    ChatJson result = {{"role", "assistant"}, {"content", content}};
    if (!reasoning.empty()) {
      result["reasoning_content"] = reasoning;
      if (!format_.thinking_key.empty()) result[std::string(format_.thinking_key)] = reasoning;
    }
    first_call_ = calls_.size();
    for (const ChatJson& call : calls) {
      calls_.emplace_back(call.value("id", ""), call["function"]["name"].get<std::string>());
    }
    if (!calls.empty()) result["tool_calls"] = std::move(calls);
    messages_.push_back(std::move(result));
  }

  void add_answer(const ChatJson& message, const std::string& field) {
    const std::string* id = string_member(message, "tool_call_id", field);
    if (id == nullptr || id->empty())
      refuse(field + ".tool_call_id", "is missing: the id of the call that is answered");
    // Ids may repeat from turn to turn; the latest call is meant.
    const auto call =
        std::find_if(calls_.rbegin(), calls_.rend(), [&](const auto& known) { return known.first == *id; });
    if (call == calls_.rend()) {
      refuse(field + ".tool_call_id",
             quoted_name(*id) + " is not the id of a call in an earlier assistant message");
    }
    const auto index = static_cast<size_t>(calls_.rend() - call) - 1;
    answers_.emplace_back(index, ChatJson{{"role", "tool"},
                                          {"content", content_text(message, field).value_or("")},
                                          {"tool_call_id", *id},
                                          {"name", call->second}});
  }

  // The answers that followed each other are complete.
  void end_answers() {
    std::stable_sort(answers_.begin(), answers_.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    if (format_.one_call_per_message && !messages_.empty() && messages_.back().contains("tool_calls"))
      split_calls();
    for (auto& answer : answers_) messages_.push_back(std::move(answer.second));
    answers_.clear();
  }

  // The last message gives way to one message per call, each followed by its answers; earlier calls' answers stay behind.
  void split_calls() {
    ChatJson message = std::move(messages_.back());
    messages_.pop_back();
    const ChatJson calls = std::move(message["tool_calls"]);
    message.erase("tool_calls");
    for (size_t i = 0; i < calls.size(); ++i) {
      ChatJson one = i == 0 ? message : ChatJson{{"role", "assistant"}, {"content", ""}};
      one["tool_calls"] = ChatJson::array({calls[i]});
      messages_.push_back(std::move(one));
      for (auto& answer : answers_) {
        if (answer.first == first_call_ + i) messages_.push_back(std::exchange(answer.second, nullptr));
      }
    }
    std::erase_if(answers_, [](const auto& answer) { return answer.second.is_null(); });
  }

  const ChatFormat& format_;
  bool has_system_ = false;
  std::string system_;
  std::vector<ChatJson> messages_;
  std::vector<std::pair<std::string, std::string>> calls_;  // id and name of every call so far
  size_t first_call_ = 0;                                   // of the last assistant message, in calls_
  std::vector<std::pair<size_t, ChatJson>> answers_;        // that follow each other, with their call
};

void check_tool_name(const std::string& name, const std::string& field) {
  constexpr std::string_view kAllowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
  if (name.empty() || name.size() > kMaxToolNameBytes ||
      name.find_first_not_of(kAllowed) != std::string::npos) {
    refuse(field, quoted_name(name) + " must be 1 to " + std::to_string(kMaxToolNameBytes) +
                      " letters, digits, \"_\", \"-\" or \".\"");
  }
}

}  // namespace

ChatJson normalise_messages(const ChatJson& messages, const ChatFormat& format) {
  return Normaliser(format).run(messages);
}

ChatJson normalise_tools(const ChatJson& tools) {
  if (tools.is_null()) return ChatJson::array();
  if (!tools.is_array()) refuse("tools", "must be an array");
  std::set<std::string> names;
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string field = item("tools", i);
    const ChatJson& tool = tools[i];
    if (!tool.is_object()) refuse(field, "must be an object");
    const std::string* type = string_member(tool, "type", field);
    if (type == nullptr || *type != "function") refuse(field + ".type", "must be \"function\"");
    const ChatJson* function = member(tool, "function");
    const std::string function_field = field + ".function";
    if (function == nullptr || !function->is_object())
      refuse(function_field, "must be an object with name and parameters");
    const std::string* name = string_member(*function, "name", function_field);
    if (name == nullptr) refuse(function_field + ".name", "is missing");
    check_tool_name(*name, function_field + ".name");
    if (!names.insert(*name).second)
      refuse(function_field + ".name", quoted_name(*name) + " is declared twice");
    string_member(*function, "description", function_field);
    const ChatJson* parameters = member(*function, "parameters");
    if (parameters != nullptr && !parameters->is_object()) {
      refuse(function_field + ".parameters", "must be a JSON schema object");
    }
    check_depth(tool, field);
  }
  return tools;
}

}  // namespace mach
