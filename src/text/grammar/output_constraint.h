// From what a request asks for to a TokenConstraint: one OutputConstraints per loaded model knows its tokenizer and chat
// format, builds grammars for what requests say (response_format, tools with tool_choice, grammar) and keeps the compiled
// ones, so the same schema is compiled once.
//
// Only the answer is constrained. Where the model reasons first, its reasoning is free text up to the format's own end of
// reasoning; with tools that may but need not be called, so is everything before a call.
//
// Thread-safe. Compilation happens on the calling thread (a request's, not the engine's) and is bounded (limits in
// automaton.h, grammar.h and json_schema.h).
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <nlohmann/json.hpp>

#include "mach/session.h"

#include "text/chat/chat_format.h"
#include "text/grammar/compiled_grammar.h"
#include "text/grammar/token_constraint.h"
#include "text/tokenizer/tokenizer.h"

namespace mach {

// At most one of `answer` and `tools` with a choice that demands calls; the request's schema decides which.
struct ConstraintRequest {
  enum class Answer : uint8_t {
    kFree,
    kJsonObject,  // response_format json_object: any JSON object
    kJsonSchema,  // response_format json_schema: `schema`
    kEbnf,        // `grammar`: EBNF text, see ebnf.h
  };
  enum class Tools : uint8_t {
    kNone,
    kAuto,  // a call that comes is well formed and of a declared tool; `strict` tools bind its arguments, too
    kRequired,  // at least one call, of any tool
    kNamed,     // a call of `named_tool`
  };

  Answer answer = Answer::kFree;
  nlohmann::ordered_json schema;  // of kJsonSchema
  std::string grammar;            // of kEbnf

  Tools tool_choice = Tools::kNone;
  nlohmann::ordered_json tools =
      nlohmann::ordered_json::array();  // an OpenAI tools array (see normalise_tools)
  std::string named_tool;
  bool parallel_tool_calls = true;

  bool chat = true;                  // false: plain completion, without reasoning and turn syntax
  bool starts_in_reasoning = false;  // see starts_in_reasoning() in chat_format.h
  bool may_reason = true;            // false: the model must answer at once
};

class OutputConstraints {
 public:
  // format: of the model's chat template, null if unknown. stop_ids: what ends a generation.
  OutputConstraints(const Tokenizer& tokenizer, const ChatFormat* format, std::span<const TokenId> stop_ids);

  // Null if the request constrains nothing (tools without `strict` need a known format of calls for that). Throws Error{kInvalidRequest} naming what cannot be enforced, for a schema with
  // its place: "response_format.json_schema.schema#/properties/a: ...".
  std::unique_ptr<TokenConstraint> make(const ConstraintRequest& request) const;

  const std::shared_ptr<const grammar::TokenVocabulary>& vocabulary() const { return vocabulary_; }

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const grammar::CompiledGrammar> grammar;
  };

  std::shared_ptr<const grammar::CompiledGrammar> find(const std::string& key) const;
  void keep(const std::string& key, std::shared_ptr<const grammar::CompiledGrammar> grammar) const;

  const ChatFormat* format_;
  MarkerLookup marker_id_;
  std::shared_ptr<const grammar::TokenVocabulary> vocabulary_;
  mutable std::mutex mutex_;
  mutable std::list<Entry> cache_;  // the latest used first
  mutable std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key_;
};

}  // namespace mach
