#include "text/jinja/chat_template.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include <fmt/format.h>

#include "base/file.h"
#include "base/quoted_name.h"
#include "io/json.h"
#include "text/jinja/failure.h"
#include "text/jinja/json_text.h"

namespace mach {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::array<std::string_view, 7> kSpecialTokens = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
constexpr std::array<std::string_view, 3> kReserved = {"messages", "tools", "add_generation_prompt"};
constexpr std::string_view kDefault = "default";
constexpr std::string_view kToolUse = "tool_use";
constexpr size_t kMostTemplates = 64;

// A special token is a text, or an object that describes an added token; null stands for none.
const json* token_text(const json& value) {
  if (value.is_string()) return &value;
  if (!value.is_object()) return nullptr;
  const auto content = value.find("content");
  return content != value.end() && content->is_string() ? &*content : nullptr;
}

jinja::Value to_value(const ordered_json& value, std::string_view field) {
  try {
    return jinja::from_json(nullptr, value);
  } catch (const jinja::Failure& failure) {
    throw Error(failure.code(), fmt::format("{}: {}", field, failure.what()));
  }
}

}  // namespace

void ChatTemplate::add(std::string name, std::string source, const std::string& origin) {
  if (entries_.size() >= kMostTemplates) {
    throw Error(ErrorCode::kTooLarge,
                fmt::format("{} has more than {} chat templates", origin, kMostTemplates));
  }
  jinja::Template parsed = jinja::Template::parse(source, origin);
  entries_.push_back({std::move(name), std::move(source), std::move(parsed)});
}

void ChatTemplate::add_from_json(const json& config, const std::string& origin) {
  const auto field = config.find("chat_template");
  if (field == config.end() || field->is_null()) return;
  if (field->is_string())
    return add(std::string(kDefault), field->get<std::string>(), origin + ":chat_template");
  if (!field->is_array()) {
    throw Error(ErrorCode::kCorruptFile,
                origin + ": chat_template must be a text or a list of {name, template}");
  }
  for (const json& entry : *field) {
    const auto name = entry.is_object() ? entry.find("name") : entry.end();
    const auto source = entry.is_object() ? entry.find("template") : entry.end();
    if (name == entry.end() || source == entry.end() || !name->is_string() || !source->is_string()) {
      throw Error(ErrorCode::kCorruptFile,
                  origin + ": every entry of chat_template needs the texts name and template");
    }
    add(name->get<std::string>(), source->get<std::string>(),
        fmt::format("{}:chat_template[{}]", origin, printable(name->get_ref<const std::string&>(), 64)));
  }
}

// What is already there wins.
void ChatTemplate::add_special_tokens(const json& config, const std::string& origin) {
  if (!config.is_object()) throw Error(ErrorCode::kCorruptFile, origin + " must be a JSON object");
  const auto set = [&](const std::string& name, const json& value) {
    const json* text = token_text(value);
    if (text != nullptr && !special_tokens_.contains(name)) special_tokens_[name] = text->get<std::string>();
  };
  for (const std::string_view name : kSpecialTokens) {
    if (const auto field = config.find(name); field != config.end()) set(std::string(name), *field);
  }
  if (const auto more = config.find("extra_special_tokens"); more != config.end() && more->is_object()) {
    for (const auto& [name, value] : more->items()) set(name, value);
  }
  const auto list = config.find("additional_special_tokens");
  if (list == config.end() || !list->is_array() || special_tokens_.contains("additional_special_tokens"))
    return;
  ordered_json texts = ordered_json::array();
  for (const json& value : *list) {
    if (const json* text = token_text(value)) texts.push_back(text->get<std::string>());
  }
  special_tokens_["additional_special_tokens"] = std::move(texts);
}

ChatTemplate ChatTemplate::load(const ModelDirectory& model) {
  ChatTemplate loaded;
  loaded.origin_ = model.path().string();
  json config = json::object();
  if (const auto path = model.tokenizer_config()) {
    config = read_json_file(*path);
    loaded.add_special_tokens(config, path->string());
  }
  if (const auto path = model.file("special_tokens_map.json")) {
    loaded.add_special_tokens(read_json_file(*path), path->string());
  }

  if (const auto path = model.chat_template()) {
    loaded.add(std::string(kDefault), read_text_file(*path, jinja::Template::kMostBytes), path->string());
    constexpr std::string_view kFolder = "additional_chat_templates";
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator entry(model.path() / kFolder, error);
         !error && entry != fs::directory_iterator(); entry.increment(error)) {
      if (entry->path().extension() == ".jinja") names.push_back(entry->path().stem().string());
    }
    std::ranges::sort(names);
    for (const std::string& name : names) {
      const auto file = model.file(fmt::format("{}/{}.jinja", kFolder, name));
      if (file) loaded.add(name, read_text_file(*file, jinja::Template::kMostBytes), file->string());
    }
  }
  if (loaded.entries_.empty())
    loaded.add_from_json(config, (model.path() / "tokenizer_config.json").string());
  if (loaded.entries_.empty()) {
    if (const auto path = model.file("chat_template.json")) {
      loaded.add_from_json(read_json_file(*path), path->string());
    }
  }
  if (loaded.entries_.empty()) {
    throw Error(ErrorCode::kNotFound, loaded.origin_ +
                                          " has no chat template: no chat_template.jinja, and no "
                                          "chat_template in tokenizer_config.json or chat_template.json");
  }
  return loaded;
}

ChatTemplate ChatTemplate::from_source(std::string_view source, std::string name) {
  ChatTemplate loaded;
  loaded.origin_ = name;
  loaded.add(std::string(kDefault), std::string(source), name);
  return loaded;
}

std::vector<std::string_view> ChatTemplate::names() const {
  std::vector<std::string_view> names;
  for (const Entry& entry : entries_) names.push_back(entry.name);
  return names;
}

const ChatTemplate::Entry& ChatTemplate::choose(bool with_tools, std::string_view name) const {
  const auto find = [&](std::string_view wanted) {
    const auto row = std::ranges::find(entries_, wanted, &Entry::name);
    return row == entries_.end() ? nullptr : &*row;
  };
  const Entry* entry = nullptr;
  if (!name.empty()) {
    entry = find(name);
  } else {
    if (with_tools) entry = find(kToolUse);
    if (entry == nullptr) entry = find(kDefault);
    if (entry == nullptr && entries_.size() == 1) entry = &entries_.front();
  }
  if (entry != nullptr) return *entry;
  throw Error(ErrorCode::kNotFound,
              fmt::format("{} has no chat template named {}; it has {}", origin_,
                          quoted_name(name.empty() ? kDefault : name), fmt::join(names(), ", ")));
}

std::string_view ChatTemplate::source(bool with_tools) const { return choose(with_tools, {}).source; }

std::string_view ChatTemplate::special_token(std::string_view name) const {
  const auto token = special_tokens_.find(name);
  return token != special_tokens_.end() && token->is_string() ? token->get_ref<const std::string&>()
                                                              : std::string_view();
}

std::string ChatTemplate::render(const ChatPrompt& prompt, const jinja::RenderOptions& options) const {
  if (!prompt.messages.is_array()) throw Error(ErrorCode::kInvalidRequest, "messages must be an array");
  if (!prompt.tools.is_null() && !prompt.tools.is_array()) {
    throw Error(ErrorCode::kInvalidRequest, "tools must be an array or null");
  }
  if (!prompt.variables.is_null() && !prompt.variables.is_object()) {
    throw Error(ErrorCode::kInvalidRequest, "template variables must be an object");
  }
  jinja::DictNode::Items variables;
  const auto set = [&](std::string_view name, jinja::Value value) {
    variables.emplace_back(jinja::make_string(nullptr, std::string(name)), std::move(value));
  };
  for (const auto& [name, value] : special_tokens_.items()) set(name, to_value(value, name));
  set("documents", {});
  for (const auto& [name, value] : prompt.variables.items()) {
    if (std::ranges::find(kReserved, name) != kReserved.end()) {
      throw Error(ErrorCode::kInvalidRequest,
                  fmt::format("template variables may not hold '{}': it has a field of its own", name));
    }
    set(name, to_value(value, printable(name, 64)));
  }
  set("messages", to_value(prompt.messages, "messages"));
  set("tools", to_value(prompt.tools, "tools"));
  set("add_generation_prompt", jinja::Value::boolean(prompt.add_generation_prompt));
  const bool with_tools = prompt.tools.is_array() && !prompt.tools.empty();
  return choose(with_tools, prompt.template_name)
      .parsed.render(jinja::make_dict(nullptr, std::move(variables)), options);
}

}  // namespace mach
