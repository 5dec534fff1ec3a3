#include "server/served_model.h"

#include <algorithm>
#include <ctime>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "mach/error.h"

#include "server/api_error.h"
#include "server/openai_chat_request.h"
#include "text/chat/messages.h"
#include "text/chat/tool_schemas.h"

namespace mach::server {
namespace {

// "messages[3].content: ..." of a request whose messages came from elsewhere, in that request's words.
Error with_origin(const Error& error, const std::vector<std::string>& origins) {
  const std::string text = error.what();
  constexpr std::string_view kStart = "messages[";
  if (!text.starts_with(kStart)) return error;
  size_t index = 0;
  size_t at = kStart.size();
  while (at < text.size() && text[at] >= '0' && text[at] <= '9' && index < origins.size()) {
    index = index * 10 + static_cast<size_t>(text[at++] - '0');
  }
  if (index >= origins.size() || at >= text.size() || text[at] != ']') return error;
  // Deeper parts of the path belong to the shape it was brought into.
  const size_t colon = text.find(": ", at);
  return {error.code(), origins[index] + (colon == std::string::npos ? ": is wrong" : text.substr(colon))};
}

bool offers_tools(const ChatTask& task) {
  return !task.tools.empty() && task.tool_choice.kind != ToolChoice::Kind::kNone;
}

ConstraintRequest::Answer answer_of(OutputForm::Kind kind) {
  using Answer = ConstraintRequest::Answer;
  switch (kind) {
    case OutputForm::Kind::kJsonObject:
      return Answer::kJsonObject;
    case OutputForm::Kind::kJsonSchema:
      return Answer::kJsonSchema;
    case OutputForm::Kind::kGrammar:
      return Answer::kEbnf;
    case OutputForm::Kind::kText:
      break;
  }
  return Answer::kFree;
}

// Calls that may but need not come are of the offered tools, as far as that can be had: where the text is continued or
// goes on past its end they are left to the model, unless a tool is strict.
ConstraintRequest::Tools tools_of(const ChatTask& task) {
  using Tools = ConstraintRequest::Tools;
  switch (task.tool_choice.kind) {
    case ToolChoice::Kind::kRequired:
      return Tools::kRequired;
    case ToolChoice::Kind::kNamed:
      return Tools::kNamed;
    case ToolChoice::Kind::kAuto:
      return has_strict_tool(task.tools) || (task.prefill.empty() && !task.generation.ignore_eos)
                 ? Tools::kAuto
                 : Tools::kNone;
    case ToolChoice::Kind::kNone:
      break;
  }
  return Tools::kNone;
}

// "response_format.json_schema.schema#/a: ..." in the words of the API that was called.
Error with_form_field(const Error& error, const std::string& field) {
  const std::string text = error.what();
  constexpr std::string_view kSchema = "response_format.json_schema.schema";
  if (field.empty() || !text.starts_with(kSchema)) return error;
  return {error.code(), field + text.substr(kSchema.size())};
}

}  // namespace

std::unique_ptr<TokenConstraint> ServedModel::constraint_for(const ChatTask& task,
                                                             bool starts_in_reasoning) const {
  ConstraintRequest request;
  request.answer = answer_of(task.form.kind);
  request.schema = task.form.schema;
  request.grammar = task.form.grammar;
  if (offers_tools(task)) {
    request.tool_choice = tools_of(task);
    request.tools = task.tools;
    request.named_tool = task.tool_choice.name;
  }
  request.parallel_tool_calls = task.parallel_calls;
  // Where a call is demanded there is no content to have a form.
  using Tools = ConstraintRequest::Tools;
  if (request.tool_choice == Tools::kRequired || request.tool_choice == Tools::kNamed) {
    request.answer = ConstraintRequest::Answer::kFree;
  }
  if (request.answer == ConstraintRequest::Answer::kFree && request.tool_choice == Tools::kNone)
    return nullptr;
  if (task.generation.ignore_eos) {
    throw Error(ErrorCode::kInvalidRequest, "ignore_eos: cannot be combined with a form of the answer");
  }
  if (!task.prefill.empty()) {
    throw Error(ErrorCode::kUnsupported,
                task.prefill_field + ": an answer of a given form cannot be continued");
  }
  request.starts_in_reasoning = starts_in_reasoning;
  request.may_reason = task.variables.value("enable_thinking", Json(true)) != Json(false);
  try {
    std::unique_ptr<TokenConstraint> constraint = constraints_->make(request);
    if (constraint == nullptr) {
      if (request.tool_choice == Tools::kAuto && request.answer == ConstraintRequest::Answer::kFree)
        return nullptr;
      throw Error(ErrorCode::kUnsupported, "response_format: this model's answers cannot be held to a form");
    }
    return constraint;
  } catch (const Error& error) {
    throw with_form_field(error, task.form.field);
  }
}

void ServedModel::append_prefill(std::string& text, const ChatTask& task) const {
  const ChatFormat* format = engine_.chat().format();
  // Harmony names the channel before the text, and a turn that begins with reasoning has no place for an answer yet.
  if (format == nullptr || format->one_call_per_message || starts_in_reasoning(*format, text)) {
    throw Error(ErrorCode::kUnsupported,
                task.prefill_field + ": this model cannot continue an assistant message (as requested)");
  }
  text += task.prefill;
}

ServedModel::ServedModel(const LoadedEngine& engine, std::string id)
    : engine_(engine),
      id_(std::move(id)),
      created_(static_cast<int64_t>(std::time(nullptr))),
      fingerprint_(fmt::format("mach-{}-{}-{}", engine.info().numerics, engine.info().kernel_set,
                               engine.info().model_type)),
      defaults_(engine.default_generation(false)),
      defaults_with_tools_(engine.default_generation(true)),
      constraints_(std::make_unique<OutputConstraints>(engine.tokenizer(), engine.chat().format(),
                                                       defaults_with_tools_.stop_ids)) {
  const ChatFormat* format = engine.chat().format();
  if (format == nullptr) return;
  for (const std::string_view open : {format->turn_open, format->user_open}) {
    const std::vector<TokenId> turn = engine.encode_rendered(open);
    if (!turn.empty()) turn_tokens_.push_back(turn.front());
  }
}

std::string ServedModel::render(const ChatTask& task) const {
  ChatPrompt prompt;
  prompt.messages = task.messages;
  if (offers_tools(task)) prompt.tools = task.tools;
  prompt.add_generation_prompt = true;
  prompt.variables = task.variables;
  if (task.messages.empty()) throw Error(ErrorCode::kInvalidRequest, "messages: must not be empty");
  if (!task.prefill.empty() && !task.variables.contains("enable_thinking"))
    set_thinking(prompt.variables, false);
  try {
    std::string text = engine_.chat().render(std::move(prompt));
    if (!task.prefill.empty()) append_prefill(text, task);
    return text;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kTooLarge) throw Error(ErrorCode::kInvalidRequest, error.what());
    throw with_origin(error, task.origins);
  }
}

void ServedModel::check_ids(std::span<const TokenId> ids, const std::string& field) const {
  const auto vocabulary = static_cast<int64_t>(engine_.info().vocab_size);
  for (const TokenId id : ids) {
    if (id >= 0 && id < vocabulary) continue;
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("{}: {} is no token id below {}", field, id, vocabulary));
  }
}

EngineRequest ServedModel::engine_request(std::vector<TokenId> prompt, const GenerationRequest& request,
                                          bool with_tools) const {
  if (prompt.empty()) throw Error(ErrorCode::kInvalidRequest, "prompt: is empty");
  if (prompt.size() >= context_length()) {
    throw RequestRefused(
        ErrorCode::kTooLarge, "context_length_exceeded",
        fmt::format("prompt is too long: {} tokens, and the context holds {} with the answer", prompt.size(),
                    context_length()),
        400);
  }
  EngineRequest job;
  job.params = with_tools ? defaults_with_tools_ : defaults_;
  const auto left = static_cast<uint32_t>(context_length() - prompt.size());
  job.params.max_tokens = std::min(request.max_tokens.value_or(left), left);
  job.params.stop = request.stop;
  if (request.ignore_eos) job.params.stop_ids.clear();
  request.sampling.apply_to(job.params.sampling);
  if (!request.sampling.seed) job.params.sampling.seed = std::random_device()();
  job.choices = request.choices;
  job.prompt = std::move(prompt);
  return job;
}

// Where turns begin: the first few (system text and tools end there) and the last few (the next request goes on there).
std::vector<uint32_t> ServedModel::turn_boundaries(std::span<const TokenId> prompt) const {
  constexpr size_t kAtEachEnd = 3;
  std::vector<uint32_t> all;
  for (size_t i = 1; i < prompt.size(); ++i) {
    if (std::find(turn_tokens_.begin(), turn_tokens_.end(), prompt[i]) != turn_tokens_.end()) {
      all.push_back(static_cast<uint32_t>(i));
    }
  }
  if (all.size() > 2 * kAtEachEnd) all.erase(all.begin() + kAtEachEnd, all.end() - kAtEachEnd);
  return all;
}

PreparedJobs ServedModel::prepare_chat(const ChatTask& task, const CallIdGenerator& call_id) const {
  std::string text = render(task);
  const bool with_tools = offers_tools(task);
  const ChatFormat* format = engine_.chat().format();
  const Tokenizer& tokenizer = engine_.tokenizer();
  const auto tools = std::make_shared<const ToolSchemas>(with_tools ? task.tools : Json::array());

  ReplyParserOptions options;
  options.format = format;
  options.parser.marker_id = [&tokenizer](std::string_view token) {
    return tokenizer.token_to_id(token).value_or(-1);
  };
  options.parser.tools = tools.get();
  options.parser.starts_in_reasoning = format != nullptr && starts_in_reasoning(*format, text);
  options.parser.parse_calls = with_tools;
  options.parser.new_call_id = call_id;
  options.parallel_calls = task.parallel_calls;
  if (task.generation.sampling.logprobs) options.tokenizer = &tokenizer;

  PreparedJobs prepared;
  EngineRequest request = engine_request(engine_.encode_rendered(text), task.generation, with_tools);
  request.boundaries = turn_boundaries(request.prompt);
  request.constraint = constraint_for(task, options.parser.starts_in_reasoning);
  // A constraint knows one set of tokens that end an answer.
  if (request.constraint != nullptr) request.params.stop_ids = defaults_with_tools_.stop_ids;
  prepared.parsers.assign(request.choices, options);
  prepared.requests.push_back(std::move(request));
  prepared.keep = tools;
  return prepared;
}

PreparedJobs ServedModel::prepare_completion(std::vector<TokenId> prompt,
                                             const GenerationRequest& request) const {
  ReplyParserOptions options;
  if (request.sampling.logprobs) options.tokenizer = &engine_.tokenizer();
  PreparedJobs prepared;
  prepared.requests.push_back(engine_request(std::move(prompt), request, false));
  prepared.parsers.assign(request.choices, options);
  return prepared;
}

PreparedJobs ServedModel::prepare_warming(std::vector<TokenId> prompt) const {
  PreparedJobs prepared = prepare_completion(std::move(prompt), GenerationRequest());
  prepared.requests.front().prefill_only = true;
  prepared.requests.front().boundaries = {static_cast<uint32_t>(prepared.requests.front().prompt.size())};
  return prepared;
}

}  // namespace mach::server
