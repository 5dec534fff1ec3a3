#include "text/grammar/grammar.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "mach/error.h"

namespace mach::grammar {

namespace {

std::vector<uint32_t> rules_used(const Grammar& grammar, const Rule& rule) {
  std::vector<uint32_t> used;
  std::vector<ExprId> work = {rule.body};
  std::vector<bool> seen(grammar.exprs.size());
  while (!work.empty()) {
    const Expr& expr = grammar[work.back()];
    work.pop_back();
    if (expr.kind == ExprKind::kRule) used.push_back(static_cast<uint32_t>(expr.rule));
    const auto visit = [&](ExprId child) {
      if (!seen[static_cast<uint32_t>(child)]) work.push_back(child);
      seen[static_cast<uint32_t>(child)] = true;
    };
    for (const ExprId child : expr.children) visit(child);
    for (const GraphEdge& edge : expr.edges) visit(edge.label);
  }
  return used;
}

// Users after what they use; by hand instead of by recursion, since chains of rules may be long.
std::vector<uint32_t> rules_in_order(const Grammar& grammar) {
  struct Visit {
    uint32_t rule;
    std::vector<uint32_t> used;
  };
  std::vector<uint32_t> order;
  std::vector<bool> seen(grammar.rules.size());
  for (uint32_t root = 0; root < grammar.rules.size(); ++root) {
    std::vector<Visit> path;
    const auto enter = [&](uint32_t rule) {
      if (seen[rule]) return;
      seen[rule] = true;
      path.push_back({rule, rules_used(grammar, grammar.rules[rule])});
    };
    enter(root);
    while (!path.empty()) {
      if (path.back().used.empty()) {
        order.push_back(path.back().rule);
        path.pop_back();
        continue;
      }
      const uint32_t next = path.back().used.back();
      path.back().used.pop_back();
      enter(next);
    }
  }
  return order;
}

}  // namespace

Grammar in_dependency_order(const Grammar& grammar) {
  Grammar out;
  out.rules = grammar.rules;
  out.root = grammar.root;
  std::unordered_map<uint32_t, ExprId> copies;
  const auto copy = [&](const auto& self, ExprId id) -> ExprId {
    const auto known = copies.find(static_cast<uint32_t>(id));
    if (known != copies.end()) return known->second;
    Expr expr = grammar[id];
    for (ExprId& child : expr.children) child = self(self, child);
    for (GraphEdge& edge : expr.edges) edge.label = self(self, edge.label);
    out.exprs.push_back(std::move(expr));
    return copies[static_cast<uint32_t>(id)] = static_cast<ExprId>(out.exprs.size() - 1);
  };
  for (const uint32_t rule : rules_in_order(grammar)) {
    out.rules[rule].body = copy(copy, grammar.rules[rule].body);
  }
  return out;
}

ExprId GrammarBuilder::add(Expr expr) {
  if (grammar_.exprs.size() >= kMaxExpressions) {
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("grammar: too large, at most {} expressions are allowed", kMaxExpressions));
  }
  const auto deepen = [&](ExprId child) { expr.depth = std::max(expr.depth, grammar_[child].depth + 1); };
  for (const ExprId child : expr.children) deepen(child);
  for (const GraphEdge& edge : expr.edges) deepen(edge.label);
  if (expr.depth > kMaxExpressionDepth) {
    throw Error(
        ErrorCode::kInvalidRequest,
        fmt::format("grammar: nested too deeply, at most {} levels are allowed", kMaxExpressionDepth));
  }
  grammar_.exprs.push_back(std::move(expr));
  return static_cast<ExprId>(grammar_.exprs.size() - 1);
}

ExprId GrammarBuilder::empty() { return add({.kind = ExprKind::kEmpty}); }
ExprId GrammarBuilder::nothing() { return add({.kind = ExprKind::kNothing}); }

ExprId GrammarBuilder::bytes(std::string_view text) {
  return add({.kind = ExprKind::kBytes, .bytes = std::string(text)});
}

ExprId GrammarBuilder::chars(const CharSet& set) { return add({.kind = ExprKind::kChars, .chars = set}); }
ExprId GrammarBuilder::token(TokenId id) { return add({.kind = ExprKind::kToken, .token = id}); }

ExprId GrammarBuilder::sequence(std::vector<ExprId> parts) {
  if (parts.size() == 1) return parts[0];
  return add({.kind = ExprKind::kSequence, .children = std::move(parts)});
}

ExprId GrammarBuilder::choice(std::vector<ExprId> alternatives) {
  if (alternatives.size() == 1) return alternatives[0];
  return add({.kind = ExprKind::kChoice, .children = std::move(alternatives)});
}

ExprId GrammarBuilder::repeat(ExprId body, uint32_t min, uint32_t max) {
  if (min > max) {
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("grammar: a repetition of at least {} and at most {} times", min, max));
  }
  return add({.kind = ExprKind::kRepeat, .children = {body}, .min = min, .max = max});
}

ExprId GrammarBuilder::graph(uint32_t nodes, std::vector<GraphEdge> edges, std::vector<uint32_t> accepting) {
  return add({.kind = ExprKind::kGraph,
              .edges = std::move(edges),
              .accepting = std::move(accepting),
              .nodes = nodes});
}

ExprId GrammarBuilder::rule(RuleId id) { return add({.kind = ExprKind::kRule, .rule = id}); }

RuleId GrammarBuilder::declare(std::string name, bool shared) {
  grammar_.rules.push_back({.name = std::move(name), .shared = shared});
  return static_cast<RuleId>(grammar_.rules.size() - 1);
}

void GrammarBuilder::define(RuleId id, ExprId body) {
  Rule& rule = grammar_.rules[static_cast<uint32_t>(id)];
  rule.body = body;
  rule.defined = true;
}

ExprId GrammarBuilder::define_rule(std::string name, ExprId body, bool shared) {
  const RuleId id = declare(std::move(name), shared);
  define(id, body);
  return rule(id);
}

ExprId GrammarBuilder::include(const Grammar& grammar) {
  const auto first_expr = static_cast<uint32_t>(grammar_.exprs.size());
  const auto first_rule = static_cast<uint32_t>(grammar_.rules.size());
  const auto moved = [first_expr](ExprId id) {
    return static_cast<ExprId>(static_cast<uint32_t>(id) + first_expr);
  };
  const auto moved_rule = [first_rule](RuleId id) {
    return static_cast<RuleId>(static_cast<uint32_t>(id) + first_rule);
  };
  for (Expr expr : grammar.exprs) {
    for (ExprId& child : expr.children) child = moved(child);
    for (GraphEdge& edge : expr.edges) edge.label = moved(edge.label);
    expr.rule = moved_rule(expr.rule);
    add(std::move(expr));
  }
  for (Rule rule : grammar.rules) {
    rule.body = moved(rule.body);
    grammar_.rules.push_back(std::move(rule));
  }
  return rule(moved_rule(grammar.root));
}

Grammar GrammarBuilder::finish(RuleId root) && {
  for (const Rule& rule : grammar_.rules) {
    if (!rule.defined) {
      throw Error(ErrorCode::kInvalidRequest, fmt::format("grammar: rule \"{}\" is not defined", rule.name));
    }
  }
  grammar_.root = root;
  return std::move(grammar_);
}

}  // namespace mach::grammar
