#include "text/grammar/nfa.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "mach/error.h"

#include "text/grammar/utf8_ranges.h"

namespace mach::grammar {
namespace {

constexpr uint64_t kMaxUnrolled = 192;     // nodes of a repetition that is written out
constexpr uint64_t kMaxInlined = 256;      // nodes of a rule that becomes part of its user
constexpr uint32_t kMaxInlinedDepth = 64;  // levels of it: the construction recurses
constexpr uint64_t kManyNodes = uint64_t{1} << 40;
constexpr int kMaxNullablePasses = 200;

// What the construction has to know about an expression before it builds it. Children are older than their parents, so
// one pass in order of age finds sizes; which rules may be empty takes passes until nothing changes.
class Shapes {
 public:
  explicit Shapes(const Grammar& grammar)
      : grammar_(grammar), size_(grammar.exprs.size()), depth_(size_.size()), nullable_(size_.size()) {
    find_nullable();
    for (uint32_t i = 0; i < size_.size(); ++i) measure(static_cast<ExprId>(i));
  }

  bool nullable(ExprId id) const { return nullable_[static_cast<uint32_t>(id)]; }
  uint64_t size(ExprId id) const { return size_[static_cast<uint32_t>(id)]; }

  bool inlined(ExprId id) const {
    const Rule& rule = grammar_[grammar_[id].rule];
    return !rule.shared && rule.body < id && size(rule.body) <= kMaxInlined &&
           depth_[static_cast<uint32_t>(rule.body)] <= kMaxInlinedDepth;
  }

  // Whether a repetition is written out rather than counted.
  bool unrolled(ExprId id) const {
    const Expr& expr = grammar_[id];
    if (expr.max <= 1 || (expr.max == kUnbounded && expr.min <= 1)) return true;
    const uint64_t copies = expr.max == kUnbounded ? expr.min + uint64_t{1} : expr.max;
    return copies * size(expr.children[0]) <= kMaxUnrolled;
  }

 private:
  void find_nullable() {
    bool changed = true;
    for (int pass = 0; changed; ++pass) {
      if (pass > kMaxNullablePasses) {
        throw Error(ErrorCode::kInvalidRequest, "grammar: too many rules that lead to each other");
      }
      changed = false;
      for (uint32_t i = 0; i < nullable_.size(); ++i) {
        if (nullable_[i] || !may_be_empty(grammar_.exprs[i])) continue;
        nullable_[i] = true;
        changed = true;
      }
    }
  }

  bool may_be_empty(const Expr& expr) const {
    const auto is = [this](ExprId id) { return nullable(id); };
    switch (expr.kind) {
      case ExprKind::kEmpty:
        return true;
      case ExprKind::kBytes:
        return expr.bytes.empty();
      case ExprKind::kNothing:
      case ExprKind::kChars:
      case ExprKind::kToken:
        return false;
      case ExprKind::kSequence:
        return std::all_of(expr.children.begin(), expr.children.end(), is);
      case ExprKind::kChoice:
        return std::any_of(expr.children.begin(), expr.children.end(), is);
      case ExprKind::kRepeat:
        return expr.min == 0 || nullable(expr.children[0]);
      case ExprKind::kRule:
        return nullable(grammar_[expr.rule].body);
      case ExprKind::kGraph:
        return graph_may_be_empty(expr);
    }
    return false;
  }

  bool graph_may_be_empty(const Expr& expr) const {
    std::vector<bool> reached(expr.nodes);
    reached[0] = true;
    for (bool changed = true; changed;) {
      changed = false;
      for (const GraphEdge& edge : expr.edges) {
        if (!reached[edge.from] || reached[edge.to] || !nullable(edge.label)) continue;
        reached[edge.to] = true;
        changed = true;
      }
    }
    return std::any_of(expr.accepting.begin(), expr.accepting.end(), [&](uint32_t n) { return reached[n]; });
  }

  void measure(ExprId id) {
    const Expr& expr = grammar_[id];
    uint64_t size = 2;
    uint32_t depth = 0;
    const auto include = [&](ExprId child) {
      size = std::min(size + this->size(child), kManyNodes);
      depth = std::max(depth, depth_[static_cast<uint32_t>(child)]);
    };
    switch (expr.kind) {
      case ExprKind::kBytes:
        size = expr.bytes.size() + 1;
        break;
      case ExprKind::kChars:
        for (const Utf8Sequence& sequence : utf8_sequences(expr.chars)) size += sequence.length;
        break;
      case ExprKind::kRepeat:
        if (unrolled(id)) {
          const uint64_t copies = expr.max == kUnbounded ? expr.min + uint64_t{1} : expr.max;
          size = 2 + copies * this->size(expr.children[0]);
        }
        depth = depth_[static_cast<uint32_t>(expr.children[0])];
        break;
      case ExprKind::kRule:
        if (inlined(id)) include(grammar_[expr.rule].body);
        break;
      default:
        for (const ExprId child : expr.children) include(child);
        for (const GraphEdge& edge : expr.edges) include(edge.label);
        size += expr.nodes;
    }
    size_[static_cast<uint32_t>(id)] = std::min(size, kManyNodes);
    depth_[static_cast<uint32_t>(id)] = depth + 1;
  }

  const Grammar& grammar_;
  std::vector<uint64_t> size_;
  std::vector<uint32_t> depth_;
  std::vector<bool> nullable_;
};

class Builder {
 public:
  explicit Builder(const Grammar& grammar) : grammar_(grammar), shapes_(grammar) {}

  NfaSet build() {
    rule_index(grammar_.root);
    // Building a rule may add rules behind it.
    for (size_t i = 0; i < bodies_.size(); ++i) {
      const uint32_t start = node();
      const uint32_t end = node();
      set_.rules[i].start = start;
      set_.rules[i].end = end;
      add(bodies_[i], start, end);
    }
    return std::move(set_);
  }

 private:
  using Kind = NfaEdge::Kind;

  uint32_t node() {
    if (set_.nodes.size() >= kMaxNfaNodes) {
      throw Error(ErrorCode::kInvalidRequest,
                  fmt::format("grammar: too large, it needs more than {} states", kMaxNfaNodes));
    }
    set_.nodes.emplace_back();
    return static_cast<uint32_t>(set_.nodes.size() - 1);
  }

  void edge(uint32_t from, const NfaEdge& e) { set_.nodes[from].push_back(e); }
  void epsilon(uint32_t from, uint32_t to) { edge(from, {.kind = Kind::kEpsilon, .to = to}); }

  uint32_t new_rule(NfaRule rule, ExprId body) {
    set_.rules.push_back(std::move(rule));
    bodies_.push_back(body);
    return static_cast<uint32_t>(bodies_.size() - 1);
  }

  uint32_t rule_index(RuleId id) {
    const auto [it, fresh] = rules_.try_emplace(id, 0);
    if (fresh) it->second = new_rule({.name = grammar_[id].name}, grammar_[id].body);
    return it->second;
  }

  // At least one iteration; none at all is the caller's business.
  uint32_t counted_rule(ExprId id) {
    const auto [it, fresh] = counted_.try_emplace(id, 0);
    if (!fresh) return it->second;
    const Expr& expr = grammar_[id];
    if (shapes_.nullable(expr.children[0])) {
      throw Error(ErrorCode::kInvalidRequest,
                  fmt::format("grammar: something that may be empty cannot be repeated {} times",
                              expr.max == kUnbounded ? expr.min : expr.max));
    }
    it->second = new_rule(
        {.name = "repetition", .counted = true, .min = std::max(expr.min, uint32_t{1}), .max = expr.max},
        expr.children[0]);
    return it->second;
  }

  void add(ExprId id, uint32_t from, uint32_t to) {
    const Expr& expr = grammar_[id];
    switch (expr.kind) {
      case ExprKind::kNothing:
        break;
      case ExprKind::kEmpty:
        epsilon(from, to);
        break;
      case ExprKind::kBytes:
        add_bytes(expr.bytes, from, to);
        break;
      case ExprKind::kChars:
        add_chars(expr.chars, from, to);
        break;
      case ExprKind::kToken:
        edge(from, {.kind = Kind::kToken, .value = static_cast<uint32_t>(expr.token), .to = to});
        break;
      case ExprKind::kSequence:
        add_sequence(expr.children, from, to);
        break;
      case ExprKind::kChoice:
        for (const ExprId child : expr.children) add(child, from, to);
        break;
      case ExprKind::kRepeat:
        add_repeat(id, from, to);
        break;
      case ExprKind::kRule:
        if (shapes_.inlined(id)) {
          // Nodes of its own: edges back into `from` would leak into what else begins there.
          const uint32_t start = node();
          epsilon(from, start);
          add(grammar_[expr.rule].body, start, to);
        } else {
          edge(from, {.kind = Kind::kCall, .value = rule_index(expr.rule), .to = to});
        }
        break;
      case ExprKind::kGraph:
        add_graph(expr, from, to);
        break;
    }
  }

  void add_bytes(std::string_view text, uint32_t from, uint32_t to) {
    if (text.empty()) return epsilon(from, to);
    for (size_t i = 0; i < text.size(); ++i) {
      const uint32_t next = i + 1 < text.size() ? node() : to;
      const auto byte = static_cast<uint8_t>(text[i]);
      edge(from, {.kind = Kind::kBytes, .first = byte, .last = byte, .to = next});
      from = next;
    }
  }

  void add_chars(const CharSet& set, uint32_t from, uint32_t to) {
    for (const Utf8Sequence& sequence : utf8_sequences(set)) {
      uint32_t at = from;
      for (unsigned i = 0; i < sequence.length; ++i) {
        const uint32_t next = i + 1U < sequence.length ? node() : to;
        edge(at, {.kind = Kind::kBytes,
                  .first = sequence.bytes[i].first,
                  .last = sequence.bytes[i].last,
                  .to = next});
        at = next;
      }
    }
  }

  void add_sequence(const std::vector<ExprId>& parts, uint32_t from, uint32_t to) {
    if (parts.empty()) return epsilon(from, to);
    for (size_t i = 0; i < parts.size(); ++i) {
      const uint32_t next = i + 1 < parts.size() ? node() : to;
      add(parts[i], from, next);
      from = next;
    }
  }

  void add_repeat(ExprId id, uint32_t from, uint32_t to) {
    const Expr& expr = grammar_[id];
    const ExprId body = expr.children[0];
    if (expr.max == 0) return epsilon(from, to);
    if (!shapes_.unrolled(id)) {
      edge(from, {.kind = Kind::kCall, .value = counted_rule(id), .to = to});
      if (expr.min == 0) epsilon(from, to);
      return;
    }
    for (uint32_t i = 0; i < expr.min; ++i) {
      const uint32_t next = node();
      add(body, from, next);
      from = next;
    }
    if (expr.max == kUnbounded) {
      const uint32_t loop = node();
      epsilon(from, loop);
      add(body, loop, loop);
      epsilon(loop, to);
      return;
    }
    for (uint32_t i = expr.min; i < expr.max; ++i) {
      epsilon(from, to);
      const uint32_t next = node();
      add(body, from, next);
      from = next;
    }
    epsilon(from, to);
  }

  void add_graph(const Expr& expr, uint32_t from, uint32_t to) {
    std::vector<uint32_t> nodes(expr.nodes);
    for (uint32_t& n : nodes) n = node();
    epsilon(from, nodes[0]);
    for (const GraphEdge& e : expr.edges) add(e.label, nodes[e.from], nodes[e.to]);
    for (const uint32_t n : expr.accepting) epsilon(nodes[n], to);
  }

  const Grammar& grammar_;
  const Shapes shapes_;
  NfaSet set_;
  std::vector<ExprId> bodies_;  // of set_.rules
  std::map<RuleId, uint32_t> rules_;
  std::map<ExprId, uint32_t> counted_;
};

}  // namespace

NfaSet build_nfas(const Grammar& grammar) { return Builder(grammar).build(); }

}  // namespace mach::grammar
