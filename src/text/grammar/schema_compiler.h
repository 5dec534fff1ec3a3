// Turns schemas into expressions; see json_schema.h for what it promises. A schema reached by reference becomes a rule, all
// others a part of the expression they stand in. Single owner, one document.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "text/grammar/char_dfa.h"
#include "text/grammar/json_grammar.h"
#include "text/grammar/schema_node.h"

namespace mach::grammar {

class SchemaCompiler {
 public:
  SchemaCompiler(GrammarBuilder& builder, JsonGrammar& json, const SchemaDocument& document)
      : b_(builder), json_(json), document_(document) {}

  // Values of a schema of the document, spelled as JSON. Rules that it needs are defined by finish().
  ExprId value(const Conjunction& all);
  void finish();

  // The texts of strings under all that the node says.
  CharDfa strings(const SchemaNode& node);
  const SchemaDocument& document() const { return document_; }

 private:
  using Key = std::pair<std::vector<const Json*>, std::vector<const Json*>>;

  CharDfa unlisted_strings(const SchemaNode& node);
  ExprId inline_value(const Conjunction& all);
  ExprId alternatives(const Conjunction& all, const SchemaNode& node);
  ExprId of_types(const SchemaNode& node);
  ExprId listed_values(const SchemaNode& node);
  ExprId numbers(const SchemaNode& node, bool fractions);
  ExprId string(const SchemaNode& node);
  ExprId array(const SchemaNode& node);
  ExprId object(const SchemaNode& node);
  ExprId member(ExprId key, const Conjunction& value);
  std::vector<ExprId> further_members(const SchemaNode& node, std::span<const std::string> declared);
  bool admits(const SchemaNode& node, const Json& value);
  void count_node(const std::string& where);

  GrammarBuilder& b_;
  JsonGrammar& json_;
  const SchemaDocument& document_;
  std::map<Key, RuleId> rules_;
  std::vector<std::pair<RuleId, Conjunction>> pending_;
  size_t nodes_ = 0;
  size_t depth_ = 0;
};

// Whether no value that the grammar of `made` writes is one that `other` accepts: what makes oneOf enforceable. False where
// that cannot be seen.
bool never_both(const SchemaDocument& document, const SchemaNode& made, const SchemaNode& other,
                int depth = 0);

}  // namespace mach::grammar
