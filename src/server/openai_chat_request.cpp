#include "server/openai_chat_request.h"

#include <algorithm>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/quoted_name.h"

namespace mach::server {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 31;
constexpr int64_t kMaxTopLogprobs = 20;

constexpr FieldRow kChatRows[] = {
    rows::kModel,
    {"messages", kArray, Handling::kUsed, "system, developer, user, assistant and tool; text parts only"},
    rows::kStream,
    rows::kStreamOptions,
    rows::kReturnProgress,
    {"max_completion_tokens", kInteger, Handling::kUsed,
     "default: to the end of the context; cut to what the context leaves"},
    {"max_tokens", kInteger, Handling::kUsed, "older name of max_completion_tokens, which wins"},
    rows::kN,
    rows::kStop,
    rows::kTemperature,
    rows::kTopP,
    rows::kTopK,
    rows::kMinP,
    rows::kSeed,
    rows::kPresence,
    rows::kFrequency,
    rows::kRepetition,
    rows::kLogitBias,
    {"logprobs", kBoolean, Handling::kUsed,
     "log-probabilities of the content's tokens, before penalties and temperature"},
    {"top_logprobs", kInteger, Handling::kUsed, "0 to 20, needs logprobs"},
    {"response_format", kObject, Handling::kUsed, "text, json_object, json_schema"},
    {"grammar", kString, Handling::kUsed, "EBNF that the content must follow"},
    {"tools", kArray, Handling::kUsed,
     "of type function; calls name one of them, arguments of strict ones follow the schema"},
    {"tool_choice", kString | kObject, Handling::kUsed, "auto, none, required, or a named function"},
    {"parallel_tool_calls", kBoolean, Handling::kUsed, "false: generation ends after the first call"},
    {"reasoning_effort", kString, Handling::kUsed,
     "none (thinking off), minimal, low, medium, high, xhigh, max; what the template makes of it"},
    {"chat_template_kwargs", kObject, Handling::kUsed,
     "variables of the chat template; win over reasoning_effort"},
    rows::kIgnoreEos,
    rows::kUser,
    rows::kMetadata,
    rows::kServiceTier,
    {"store", kBoolean, Handling::kIgnored, "nothing is stored"},
    {"safety_identifier", kString, Handling::kIgnored, ""},
    {"prompt_cache_key", kString, Handling::kIgnored, "the prefix cache finds common prefixes by itself"},
    {"prompt_cache_retention", kString, Handling::kIgnored, ""},
    {"cache_prompt", kBoolean, Handling::kIgnored, "always on"},
    {"prediction", kObject, Handling::kIgnored, "a hint for speed only"},
    {"verbosity", kString, Handling::kIgnored, "a hint that no template reads"},
    {"modalities", kArray, Handling::kRefused, "text only", R"(["text"])"},
    {"audio", kObject, Handling::kRefused, "text only"},
    {"web_search_options", kObject, Handling::kRefused, "there is no web search"},
    {"functions", kArray, Handling::kRefused, "use tools", "[]"},
    {"function_call", kString | kObject, Handling::kRefused, "use tool_choice", R"("none")"},
};

constexpr FieldRow kResponseFormatRows[] = {
    {"type", kString, Handling::kUsed, "text, json_object or json_schema"},
    {"json_schema", kObject, Handling::kUsed, "with type json_schema"},
};

constexpr FieldRow kJsonSchemaRows[] = {
    {"name", kString, Handling::kIgnored, ""},
    {"description", kString, Handling::kIgnored, ""},
    {"schema", kObject | kBoolean, Handling::kUsed, "a keyword that cannot be enforced is an error"},
    {"strict", kBoolean, Handling::kIgnored, "the schema is always enforced"},
};

OutputForm read_form(const FieldReader& fields) {
  OutputForm form;
  if (const Json* given = fields.value("response_format")) {
    const FieldReader inner(*given, kResponseFormatFields, "response_format");
    constexpr std::string_view kTypes[] = {"text", "json_object", "json_schema"};
    inner.required_text("type");
    const std::string_view type = inner.choice("type", kTypes);
    form.field = "response_format";
    if (type == "json_object") form.kind = OutputForm::Kind::kJsonObject;
    if (type == "json_schema") {
      form.kind = OutputForm::Kind::kJsonSchema;
      const FieldReader schema(inner.required("json_schema"), kJsonSchemaFields,
                               "response_format.json_schema");
      form.schema = schema.required("schema");
      form.field = "response_format.json_schema.schema";
    }
  }
  if (const std::string* grammar = fields.text("grammar"); grammar != nullptr && !grammar->empty()) {
    if (form.kind != OutputForm::Kind::kText)
      fields.refuse("grammar", "cannot be combined with response_format");
    form = {OutputForm::Kind::kGrammar, Json(), *grammar, "grammar"};
  }
  return form;
}

bool offers(const Json& tools, const std::string& name) {
  return std::any_of(tools.begin(), tools.end(), [&](const Json& tool) {
    if (!tool.is_object() || !tool.contains("function") || !tool["function"].is_object()) return false;
    return tool["function"].value("name", Json()) == Json(name);
  });
}

ToolChoice read_tool_choice(const FieldReader& fields, const Json& tools) {
  ToolChoice choice;
  const Json* given = fields.value("tool_choice");
  if (given == nullptr) return choice;
  if (given->is_string()) {
    constexpr std::string_view kChoices[] = {"auto", "none", "required"};
    constexpr ToolChoice::Kind kKinds[] = {ToolChoice::Kind::kAuto, ToolChoice::Kind::kNone,
                                           ToolChoice::Kind::kRequired};
    const std::string_view name = fields.choice("tool_choice", kChoices);
    choice.kind = kKinds[std::find(std::begin(kChoices), std::end(kChoices), name) - std::begin(kChoices)];
  } else {
    const auto function = given->find("function");
    const bool named = given->value("type", Json()) == Json("function") && function != given->end() &&
                       function->is_object() && function->contains("name") && (*function)["name"].is_string();
    if (!named) fields.refuse("tool_choice", R"(must be {"type": "function", "function": {"name": ...}})");
    choice = {ToolChoice::Kind::kNamed, (*function)["name"].get<std::string>()};
    if (!offers(tools, choice.name)) {
      fields.refuse("tool_choice", fmt::format("{} is not among the tools", quoted_name(choice.name)));
    }
  }
  if (choice.kind == ToolChoice::Kind::kRequired && tools.empty()) {
    fields.refuse("tool_choice", "is \"required\", but there are no tools");
  }
  return choice;
}

}  // namespace

const FieldTable kChatFields{"POST /v1/chat/completions", kChatRows};
const FieldTable kResponseFormatFields{"response_format", kResponseFormatRows};
const FieldTable kJsonSchemaFields{"response_format.json_schema", kJsonSchemaRows};

bool has_strict_tool(const Json& tools) {
  return std::any_of(tools.begin(), tools.end(), [](const Json& tool) {
    if (!tool.is_object() || !tool.contains("function") || !tool["function"].is_object()) return false;
    return tool["function"].value("strict", Json()) == Json(true);
  });
}

ChatRequest read_chat_request(const Json& body, const RequestLimits& limits) {
  const FieldReader fields(body, kChatFields);
  ChatRequest request;
  ChatTask& task = request.task;
  if (const std::string* model = fields.text("model")) request.model = *model;
  request.unknown = fields.unknown();

  task.messages = checked_array(fields.required("messages"), "messages", limits.max_messages);
  if (const Json* tools = fields.value("tools"); tools != nullptr && !tools->empty()) {
    task.tools = checked_array(*tools, "tools", limits.max_tools);
  }
  task.tool_choice = read_tool_choice(fields, task.tools);
  task.parallel_calls = fields.boolean("parallel_tool_calls").value_or(true);
  task.form = read_form(fields);

  if (const std::string* effort = fields.text("reasoning_effort")) {
    apply_reasoning_effort(task.variables, *effort, "reasoning_effort");
  }
  if (const Json* variables = fields.value("chat_template_kwargs")) task.variables.update(*variables);

  GenerationRequest& generation = task.generation;
  generation.sampling = read_sampling(fields);
  const bool logprobs = fields.flag("logprobs");
  const auto top = fields.integer("top_logprobs", 0, kMaxTopLogprobs);
  if (top && *top > 0 && !logprobs) fields.refuse("top_logprobs", "needs logprobs: true");
  if (logprobs) generation.sampling.logprobs = static_cast<uint32_t>(top.value_or(0));
  auto most = fields.integer("max_completion_tokens", 1, kMaxTokens);
  if (const auto older = fields.integer("max_tokens", 1, kMaxTokens); !most) most = older;
  if (most) generation.max_tokens = static_cast<uint32_t>(*most);
  generation.stop = read_stops(fields, "stop");
  generation.choices = read_choices(fields, limits);
  generation.ignore_eos = fields.flag("ignore_eos");
  task.stream = read_stream(fields);
  return request;
}

}  // namespace mach::server
