// JSON Schema as a grammar: every text that it admits is JSON that the schema accepts. Not the other way round: of the many
// texts that a schema accepts some are left out, so that the model writes plain, finite JSON (json_grammar.h), and
//   - properties come in the order in which they are declared; those that only `required` names come last;
//   - an object whose schema declares properties has no others unless additionalProperties says so; the same holds
//     for arrays with prefixItems;
//   - without `type`, the types are those that the other keywords speak of;
//   - string values under pattern, format or in keys spell each character in one way only.
//
// Drafts 4 to 2020-12 as far as they agree; references within the document, recursion included. oneOf is enforced where its
// alternatives visibly exclude each other, else refused. A keyword that cannot be enforced (uniqueItems, not, if, contains,
// dependentRequired, unknown ones ...) is Error{kInvalidRequest} naming it with its JSON pointer; names that begin with
// "x-" and annotations are passed over.
// Pure functions; bounded by the limits here and those of grammar.h and automaton.h.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "text/grammar/grammar.h"

namespace mach::grammar {

inline constexpr size_t kMaxSchemaDepth = 100;       // nesting of the document
inline constexpr size_t kMaxSchemaValues = 100'000;  // in the document
inline constexpr size_t kMaxSchemaNodes = 20'000;    // schemas compiled, alternatives multiplied out

// `name` stands for the document in errors: "response_format.json_schema.schema".
Grammar json_schema_grammar(const nlohmann::ordered_json& schema, const std::string& name);

// The same as a part of a larger grammar.
ExprId json_schema_expression(GrammarBuilder& builder, class JsonGrammar& json,
                              const nlohmann::ordered_json& schema, const std::string& name);

}  // namespace mach::grammar
