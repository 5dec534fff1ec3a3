// A grammar as expressions over bytes, before it becomes an automaton: what the front ends (EBNF, JSON Schema, tool calls)
// produce and automaton.h compiles.
//
// An expression is a small immutable node named by its id; ids may be used any number of times. A rule is a named
// expression that may refer to itself. Text is UTF-8: a character class stands for the bytes of its characters. A token
// expression matches one token by id (a marker such as <tool_call>), never its spelling.
//
// The builder refuses to grow beyond kMaxExpressions. Single owner.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mach/session.h"

#include "text/grammar/char_set.h"

namespace mach::grammar {

enum class ExprId : uint32_t {};
enum class RuleId : uint32_t {};

inline constexpr uint32_t kUnbounded = std::numeric_limits<uint32_t>::max();
inline constexpr size_t kMaxExpressions = 400'000;
inline constexpr size_t kMaxExpressionDepth = 400;  // nesting of one rule's expression

// An edge of a graph expression: reading `label` leads from one node to another.
struct GraphEdge {
  uint32_t from, to;
  ExprId label;
};

enum class ExprKind : uint8_t {
  kEmpty,     // the empty text
  kNothing,   // no text at all
  kBytes,     // text
  kChars,     // one character of a set
  kToken,     // one token by id
  kSequence,  // children in turn
  kChoice,    // one of the children
  kRepeat,    // children[0], min to max times
  kRule,      // what the rule matches
  kGraph,     // the labels along a path from node 0 to an accepting node
};

struct Expr {
  ExprKind kind = ExprKind::kEmpty;
  std::string bytes;
  CharSet chars;
  TokenId token = -1;
  std::vector<ExprId> children;
  uint32_t min = 0, max = 0;
  RuleId rule{};
  std::vector<GraphEdge> edges;
  std::vector<uint32_t> accepting;  // nodes of a graph
  uint32_t nodes = 0;
  uint32_t depth = 1;  // of the expression, not followed into rules
};

struct Rule {
  std::string name;
  ExprId body{};
  bool defined = false;
  bool shared = false;  // keeps an automaton of its own, so that its token masks are computed once
};

struct Grammar {
  std::vector<Expr> exprs;
  std::vector<Rule> rules;
  RuleId root{};

  const Expr& operator[](ExprId id) const { return exprs[static_cast<uint32_t>(id)]; }
  const Rule& operator[](RuleId id) const { return rules[static_cast<uint32_t>(id)]; }
};

// The same grammar with every rule's expressions older than those of the rules that use it, cycles apart: small rules can
// then become part of their users (nfa.h), whatever order they were written in.
Grammar in_dependency_order(const Grammar& grammar);

class GrammarBuilder {
 public:
  ExprId empty();
  ExprId nothing();
  ExprId bytes(std::string_view text);
  ExprId chars(const CharSet& set);
  ExprId token(TokenId id);
  ExprId sequence(std::vector<ExprId> parts);
  ExprId choice(std::vector<ExprId> alternatives);
  // Throws Error{kInvalidRequest} if min > max.
  ExprId repeat(ExprId body, uint32_t min, uint32_t max);
  ExprId optional(ExprId body) { return repeat(body, 0, 1); }
  ExprId graph(uint32_t nodes, std::vector<GraphEdge> edges, std::vector<uint32_t> accepting);
  ExprId rule(RuleId id);

  RuleId declare(std::string name, bool shared = false);
  void define(RuleId id, ExprId body);
  ExprId define_rule(std::string name, ExprId body, bool shared = false);

  // All of another grammar, as what its root matches.
  ExprId include(const Grammar& grammar);

  const Grammar& grammar() const { return grammar_; }
  // Throws Error{kInvalidRequest} for a rule that was declared and never defined.
  Grammar finish(RuleId root) &&;

 private:
  ExprId add(Expr expr);

  Grammar grammar_;
};

}  // namespace mach::grammar
