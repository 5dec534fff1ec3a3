// `mach render`: the prompt text that a chat template makes of a conversation.
#include <filesystem>
#include <iostream>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "io/json.h"
#include "io/model_dir.h"
#include "text/jinja/chat_template.h"
#include "tools/cli.h"
#include "tools/text_input.h"

namespace mach::tools {
namespace {

constexpr const char* kExamples =
    "  mach render ./model --messages chat.json --vars '{\"add_generation_prompt\": true}'\n"
    "  echo '[{\"role\": \"user\", \"content\": \"Hi\"}]' | mach render ./model --messages -\n"
    "  mach render --template chat.jinja --messages chat.json --vars '{\"bos_token\": \"<s>\"}'\n"
    "  mach render ./model --messages request.json --vars @switches.json | mach tokenize ./model "
    "--no-special\n"
    "\n"
    "--messages holds a JSON list of messages, or an object with the key messages and any of tools,\n"
    "add_generation_prompt, and other variables. --vars is a JSON object of more variables and wins over it. "
    "Common ones:\n"
    "  add_generation_prompt   end with the opening of the assistant's turn; false unless given, as in "
    "Hugging Face's\n"
    "                          apply_chat_template\n"
    "  tools                   a list of {\"type\": \"function\", \"function\": {...}}; null unless given\n"
    "  enable_thinking, reasoning_effort, documents, ...: what the template reads\n"
    "A model's special tokens (bos_token, eos_token, ...) are set from its tokenizer_config.json; with "
    "--template they\n"
    "are undefined unless given. Messages reach the template as they are: nothing is normalised or checked "
    "here.\n"
    "The clock of strftime_now() is the local time, or $SOURCE_DATE_EPOCH (seconds since 1970, UTC) where it "
    "is set.\n"
    "\n"
    "Output: the prompt on standard output, byte for byte, without an added newline.\n"
    "Exit status: 0; 2 when the command line is wrong; 3 when the template refuses the conversation (its "
    "line is\n"
    "named) or the JSON is wrong; 5 when the model, its template or a file is not there; 7 when the "
    "rendering is too\n"
    "large; 8 for a tag that is not supported; 9 when the template is malformed.";

constexpr const char* kMessages = "messages";

// One text that is a JSON document: standard input for "-".
nlohmann::ordered_json json_input(std::string_view field, const std::string& argument, bool is_file) {
  const std::string text =
      is_file && argument != "-" ? text_file(field, argument) : text_argument(field, argument);
  JsonLimits limits;
  limits.error = ErrorCode::kInvalidRequest;
  limits.duplicates = DuplicateKeys::kKeepLast;
  return parse_ordered_json(text, field, limits);
}

// A field of the conversation out of `object`, which keeps the rest.
void take_fields(nlohmann::ordered_json& object, ChatPrompt& prompt, std::string_view field) {
  if (!object.is_object())
    throw Error(ErrorCode::kInvalidRequest, fmt::format("{}: expected a JSON object", field));
  for (const auto& [name, value] : object.items()) {
    if (name == kMessages) {
      prompt.messages = value;
    } else if (name == "tools") {
      prompt.tools = value;
    } else if (name == "add_generation_prompt") {
      if (!value.is_boolean()) {
        throw Error(ErrorCode::kInvalidRequest,
                    fmt::format("{}: add_generation_prompt must be true or false", field));
      }
      prompt.add_generation_prompt = value.get<bool>();
    } else {
      prompt.variables[name] = value;
    }
  }
}

}  // namespace

int run_render(int argc, char** argv) {
  std::string model, template_file, messages, variables, name;
  CLI::App app("Prints the prompt that a chat template makes of a conversation.");
  auto* model_option = app.add_option("MODEL", model, "Model folder, or a hub id in the local cache");
  auto* template_option = app.add_option("--template", template_file, "A template file instead of a model's")
                              ->excludes(model_option);
  app.add_option("--messages", messages, "JSON file with the conversation; - for standard input")->required();
  app.add_option("--vars", variables, "JSON object of template variables, or @FILE with one");
  app.add_option("--name", name, "Which of several templates (default: tool_use with tools, else default)");
  if (!parse_command_line(app, argc, argv, kExamples)) return 0;
  if (!*model_option && !*template_option) {
    throw Error(ErrorCode::kUsage,
                fmt::format("no template: name a MODEL or give --template (see {} --help)", argv[0]));
  }

  const ChatTemplate chat =
      *template_option ? ChatTemplate::from_source(text_file("--template", template_file), template_file)
                       : ChatTemplate::load(ModelDirectory::resolve(model, HubEnvironment::from_process()));
  ChatPrompt prompt;
  prompt.template_name = name;
  prompt.variables = nlohmann::ordered_json::object();
  nlohmann::ordered_json conversation = json_input("--messages", messages, true);
  if (conversation.is_array()) {
    prompt.messages = std::move(conversation);
  } else {
    take_fields(conversation, prompt, "--messages");
  }
  if (!variables.empty()) {
    const bool is_file = variables.front() == '@';
    nlohmann::ordered_json more = json_input("--vars", is_file ? variables.substr(1) : variables, is_file);
    take_fields(more, prompt, "--vars");
  }
  std::cout << chat.render(prompt);
  return 0;
}

}  // namespace mach::tools
