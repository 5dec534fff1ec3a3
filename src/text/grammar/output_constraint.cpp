#include "text/grammar/output_constraint.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "mach/error.h"

#include "text/grammar/ebnf.h"
#include "text/grammar/json_grammar.h"
#include "text/grammar/json_schema.h"
#include "text/grammar/matcher.h"
#include "text/grammar/tool_grammar.h"

namespace mach {
namespace {

using namespace grammar;  // this file is where requests and grammars meet

constexpr size_t kMaxCached = 32;  // grammars
constexpr size_t kMaxCachedBytes = size_t{256}
                                   << 20;     // automata and masks of those that nobody needs to use now
constexpr uint32_t kMaxHarmonyMessages = 16;  // analysis and preambles before the answer

class MatcherConstraint final : public TokenConstraint {
 public:
  explicit MatcherConstraint(GrammarMatcher matcher)
      : matcher_(std::move(matcher)), mask_(matcher_.grammar().vocabulary().mask_words()) {}

  std::span<const uint32_t> allowed() override {
    if (stale_) matcher_.fill_mask(mask_);
    stale_ = false;
    return mask_;
  }

  void accept(TokenId id) override {
    if (!matcher_.accept(id)) {
      throw Error(ErrorCode::kInternal, fmt::format("grammar: token {} was not allowed here", id));
    }
    stale_ = true;
  }

  void rollback(size_t tokens) override {
    matcher_.rollback(tokens);
    stale_ = true;
  }

  bool can_stop() const override { return matcher_.can_stop(); }
  std::unique_ptr<TokenConstraint> clone() const override {
    return std::make_unique<MatcherConstraint>(*this);
  }

 private:
  GrammarMatcher matcher_;
  std::vector<uint32_t> mask_;
  bool stale_ = true;
};

// The whole of what a model writes in one turn.
class TurnGrammar {
 public:
  TurnGrammar(const ConstraintRequest& request, const ChatFormat* format, const MarkerLookup& marker_id)
      : request_(request), format_(request.chat ? format : nullptr), json_(b_), syntax_(b_, marker_id) {}

  Grammar build() && {
    const bool harmony = format_ != nullptr && format_->name == "harmony";
    const RuleId root = b_.declare("root");
    const ExprId turn = format_ == nullptr ? answer() : harmony ? harmony_turn() : turn_with_reasoning();
    b_.define(root, turn);
    return std::move(b_).finish(root);
  }

 private:
  using Answer = ConstraintRequest::Answer;
  using Tools = ConstraintRequest::Tools;

  bool must_call() const {
    return request_.tool_choice == Tools::kRequired || request_.tool_choice == Tools::kNamed;
  }
  bool may_call() const { return request_.tool_choice != Tools::kNone && !request_.tools.empty(); }

  ExprId answer() {
    if (request_.answer == Answer::kJsonObject) return json_.object();
    if (request_.answer == Answer::kJsonSchema) {
      return json_schema_expression(b_, json_, request_.schema, "response_format.json_schema.schema");
    }
    if (request_.answer == Answer::kEbnf) return b_.include(parse_ebnf(request_.grammar));
    return syntax_.free_text({});
  }

  std::vector<ToolUse> tools() const {
    std::vector<ToolUse> out;
    for (size_t i = 0; i < request_.tools.size(); ++i) {
      const auto& tool = request_.tools[i];
      if (!tool.is_object() || !tool.contains("function")) continue;
      const auto& function = tool["function"];
      if (!function.is_object() || !function.contains("name") || !function["name"].is_string()) continue;
      ToolUse use;
      use.name = function["name"].get<std::string>();
      if (request_.tool_choice == Tools::kNamed && use.name != request_.named_tool) continue;
      const auto parameters = function.find("parameters");
      if (parameters != function.end() && parameters->is_object()) use.parameters = &*parameters;
      const auto strict = function.find("strict");
      use.strict = strict != function.end() && *strict == true;
      use.bound = use.strict || must_call();
      use.where = fmt::format("tools[{}].function.parameters", i);
      out.push_back(std::move(use));
    }
    if (out.empty()) {
      throw Error(ErrorCode::kInvalidRequest,
                  request_.tool_choice == Tools::kNamed
                      ? fmt::format("tool_choice: there is no tool \"{}\"", request_.named_tool)
                      : std::string("tool_choice: there are no tools to call"));
    }
    return out;
  }

  const ToolFormat& tool_format() const {
    const ToolFormat* format = format_ != nullptr ? find_tool_format(format_->name) : nullptr;
    if (format != nullptr) return *format;
    throw Error(ErrorCode::kInvalidRequest,
                "tool_choice: calls cannot be enforced, this model's chat format is not known");
  }

  ExprId calls() { return tool_format().calls(syntax_, json_, tools(), request_.parallel_tool_calls); }

  // Answer, calls, or a text that calls may follow.
  ExprId body() {
    if (must_call()) return calls();
    if (!may_call()) return answer();
    if (request_.answer != Answer::kFree) return b_.choice({answer(), calls()});
    return b_.sequence({syntax_.free_text(tool_format().openers), b_.optional(calls())});
  }

  ExprId turn_with_reasoning() {
    // As many line ends as templates put between reasoning and answer.
    const ExprId gap = b_.repeat(b_.bytes("\n"), 0, 2);
    const ExprId reasoning = b_.sequence(
        {syntax_.free_text({format_->reasoning_close}), syntax_.marker(format_->reasoning_close), gap});
    if (request_.starts_in_reasoning) return b_.sequence({reasoning, body()});
    if (!request_.may_reason) return body();
    return b_.sequence(
        {b_.optional(b_.sequence({syntax_.marker(format_->reasoning_open), reasoning})), gap, body()});
  }

  // Messages of a turn; the prompt began the first header.
  ExprId harmony_turn() {
    const ExprId channel = syntax_.marker("<|channel|>");
    const ExprId message = syntax_.marker("<|message|>");
    const ExprId next =
        b_.sequence({syntax_.marker("<|end|>"), syntax_.marker("<|start|>"), b_.bytes("assistant")});
    const ExprId text = syntax_.free_text({"<|end|>", "<|start|>", "<|channel|>", "<|call|>", "<|return|>"});
    std::vector<ExprId> before = {b_.bytes("analysis")};
    if (may_call() && !must_call()) before.push_back(b_.bytes("commentary"));
    const ExprId other = b_.sequence({channel, b_.choice(before), message, text, next});

    std::vector<ExprId> last;
    if (!must_call()) {
      const ExprId body = request_.answer == Answer::kFree ? text : answer();
      last.push_back(b_.sequence({channel, b_.bytes("final"), message, body, syntax_.marker("<|return|>")}));
    }
    if (may_call()) last.push_back(calls());
    std::vector<ExprId> turn;
    if (request_.starts_in_reasoning) turn.insert(turn.end(), {text, next});
    if (request_.may_reason || request_.starts_in_reasoning)
      turn.push_back(b_.repeat(other, 0, kMaxHarmonyMessages));
    turn.push_back(b_.choice(std::move(last)));
    return b_.sequence(std::move(turn));
  }

  const ConstraintRequest& request_;
  const ChatFormat* format_;
  GrammarBuilder b_;
  JsonGrammar json_;
  ChatSyntax syntax_;
};

bool has_strict_tool(const ConstraintRequest& request) {
  return std::any_of(request.tools.begin(), request.tools.end(), [](const auto& tool) {
    return tool.is_object() && tool.contains("function") && tool["function"].is_object() &&
           tool["function"].contains("strict") && tool["function"]["strict"] == true;
  });
}

// Everything that the grammar depends on.
std::string cache_key(const ConstraintRequest& request) {
  const auto dump = [](const nlohmann::ordered_json& json) {
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  };
  return fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", static_cast<int>(request.answer),
                     static_cast<int>(request.tool_choice), request.parallel_tool_calls, request.chat,
                     request.starts_in_reasoning, request.may_reason, dump(request.named_tool),
                     dump(request.schema), dump(request.tools), request.grammar);
}

}  // namespace

OutputConstraints::OutputConstraints(const Tokenizer& tokenizer, const ChatFormat* format,
                                     std::span<const TokenId> stop_ids)
    : format_(format),
      marker_id_([&tokenizer](std::string_view token) { return tokenizer.token_to_id(token).value_or(-1); }) {
  std::vector<TokenId> markers;
  const auto add = [&](std::string_view text) {
    if (const TokenId id = marker_id_(text); id >= 0) markers.push_back(id);
  };
  if (format != nullptr) {
    for (const MarkerRow& row : format->markers) add(row.text);
    add("｜DSML｜");  // the token within DSML's markers
  }
  vocabulary_ = grammar::TokenVocabulary::from_tokenizer(tokenizer, markers, stop_ids);
}

std::unique_ptr<TokenConstraint> OutputConstraints::make(const ConstraintRequest& request) const {
  using Answer = ConstraintRequest::Answer;
  using Tools = ConstraintRequest::Tools;
  const bool forces = request.tool_choice == Tools::kRequired || request.tool_choice == Tools::kNamed;
  const bool strict = has_strict_tool(request);
  const bool guides = request.tool_choice == Tools::kAuto && !request.tools.empty();
  // Nobody asked for this one: where it cannot be had, the model is left alone.
  const bool optional = request.answer == Answer::kFree && guides && !strict;
  if (request.answer == Answer::kFree && !forces && !guides) return nullptr;
  if (optional && (!request.chat || format_ == nullptr || find_tool_format(format_->name) == nullptr))
    return nullptr;
  const std::string key = cache_key(request);
  auto compiled = find(key);
  if (compiled == nullptr) {
    try {
      compiled = CompiledGrammar::compile(TurnGrammar(request, format_, marker_id_).build(), vocabulary_);
    } catch (const Error& error) {
      if (optional && error.code() == ErrorCode::kInvalidRequest) return nullptr;
      throw;
    }
    keep(key, compiled);
  }
  return std::make_unique<MatcherConstraint>(GrammarMatcher(std::move(compiled)));
}

std::shared_ptr<const grammar::CompiledGrammar> OutputConstraints::find(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto known = by_key_.find(key);
  if (known == by_key_.end()) return nullptr;
  cache_.splice(cache_.begin(), cache_, known->second);
  return cache_.front().grammar;
}

void OutputConstraints::keep(const std::string& key,
                             std::shared_ptr<const grammar::CompiledGrammar> grammar) const {
  const std::lock_guard lock(mutex_);
  if (by_key_.contains(key)) return;
  cache_.push_front({key, std::move(grammar)});
  by_key_.emplace(cache_.front().key, cache_.begin());
  size_t bytes = 0;
  for (const Entry& entry : cache_) bytes += entry.grammar->memory_bytes() + entry.key.size();
  while (cache_.size() > 1 && (cache_.size() > kMaxCached || bytes > kMaxCachedBytes)) {
    bytes -= std::min(bytes, cache_.back().grammar->memory_bytes() + cache_.back().key.size());
    by_key_.erase(cache_.back().key);
    cache_.pop_back();
  }
}

}  // namespace mach
