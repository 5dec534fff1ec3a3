// The chat templates of one model, and the prompt that they make of a conversation, as Hugging Face's
// apply_chat_template does it. Where a template comes from, first hit wins:
//   chat_template.jinja, with additional_chat_templates/NAME.jinja beside it
//   chat_template in tokenizer_config.json, a text or a list of {name, template}
//   chat_template in chat_template.json
// Of several, `tool_use` is taken when tools are given, else `default`.
// Variables: the special tokens of tokenizer_config.json (bos_token, eos_token, ...; special_tokens_map.json fills gaps),
// messages, tools, documents (none), add_generation_prompt, and whatever the caller adds.
// Thread-safe: immutable after load().
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "io/model_dir.h"
#include "text/jinja/template.h"

namespace mach {

struct ChatPrompt {
  nlohmann::ordered_json messages;     // an array, handed to the template as it is
  nlohmann::ordered_json tools;        // an array, or null for none
  bool add_generation_prompt = false;  // end with the opening of the assistant's turn
  nlohmann::ordered_json
      variables;  // an object or null: enable_thinking, documents, ...; may replace special tokens
  std::string template_name;  // empty: chosen as above
};

class ChatTemplate {
 public:
  // Throws kNotFound when the model has no template; kCorruptFile, kIo, kTooLarge, kUnsupported as Template::parse.
  static ChatTemplate load(const ModelDirectory& model);
  // One template by its text; no special tokens.
  static ChatTemplate from_source(std::string_view source, std::string name);

  // Throws kInvalidRequest for what the template refuses, or for variables named like the other fields; kNotFound for
  // an unknown template_name; kTooLarge past a limit.
  std::string render(const ChatPrompt& prompt, const jinja::RenderOptions& options = {}) const;

  std::vector<std::string_view> names() const;
  // The text of the template that a prompt with or without tools gets; for telling chat formats apart.
  std::string_view source(bool with_tools) const;
  // A variable that every rendering gets ("eos_token"); empty when the model names none.
  std::string_view special_token(std::string_view name) const;

 private:
  struct Entry {
    std::string name;
    std::string source;
    jinja::Template parsed;
  };

  void add(std::string name, std::string source, const std::string& origin);
  void add_from_json(const nlohmann::json& config, const std::string& origin);
  void add_special_tokens(const nlohmann::json& config, const std::string& origin);
  const Entry& choose(bool with_tools, std::string_view name) const;

  std::string origin_;
  std::vector<Entry> entries_;
  nlohmann::ordered_json special_tokens_ = nlohmann::ordered_json::object();
};

}  // namespace mach
