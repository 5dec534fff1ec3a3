#include "text/grammar/determinizer.h"

#include <algorithm>
#include <bitset>
#include <map>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "mach/error.h"

namespace mach::grammar {
namespace {

using Subset = std::vector<uint32_t>;  // NFA nodes, sorted

struct SubsetHash {
  size_t operator()(const Subset& subset) const {
    uint64_t hash = 0xCBF29CE484222325;
    for (const uint32_t n : subset) hash = (hash ^ n) * 0x100000001B3;
    return hash;
  }
};

// Bytes that no edge of the grammar tells apart share a class.
struct ByteClasses {
  std::array<uint8_t, 256> of{};
  std::vector<uint8_t> first;  // a byte of each class

  explicit ByteClasses(const NfaSet& nfas) {
    std::bitset<257> starts;
    starts.set(0);
    for (const auto& edges : nfas.nodes) {
      for (const NfaEdge& e : edges) {
        if (e.kind != NfaEdge::Kind::kBytes) continue;
        starts.set(e.first);
        starts.set(e.last + size_t{1});
      }
    }
    for (size_t byte = 0; byte < 256; ++byte) {
      if (starts[byte]) first.push_back(static_cast<uint8_t>(byte));
      of[byte] = static_cast<uint8_t>(first.size() - 1);
    }
  }
};

// One rule at a time; states get their numbers as they are found.
class RuleSubsets {
 public:
  explicit RuleSubsets(const NfaSet& nfas) : nfas_(nfas), mark_(nfas.nodes.size()) {}

  void begin_rule(uint32_t end) {
    end_ = end;
    numbers_.clear();
    pending_.clear();
  }

  // The nodes reachable by epsilon edges that matter: with other edges, or the end of the rule.
  Subset closure(Subset from) {
    ++round_;
    Subset out;
    for (const uint32_t n : from) mark_[n] = round_;
    while (!from.empty()) {
      const uint32_t n = from.back();
      from.pop_back();
      bool matters = n == end_;
      count_work(nfas_.nodes[n].size() + 1);
      for (const NfaEdge& e : nfas_.nodes[n]) {
        if (e.kind != NfaEdge::Kind::kEpsilon) {
          matters = true;
        } else if (mark_[e.to] != round_) {
          mark_[e.to] = round_;
          from.push_back(e.to);
        }
      }
      if (matters) out.push_back(n);
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  // The state of a subset; `next_state` is its number if it is new. The empty one is dead.
  uint32_t number(const Subset& subset, uint32_t next_state) {
    if (subset.empty()) return kDead;
    const auto [it, fresh] = numbers_.try_emplace(subset, next_state);
    if (fresh) pending_.push_back(&*it);
    return it->second;
  }

  // Null when all have been taken. States come in the order of their numbers.
  const std::pair<const Subset, uint32_t>* take() {
    return taken_ < pending_.size() ? pending_[taken_++] : (taken_ = 0, nullptr);
  }

  void count_work(size_t edges) {
    work_ += edges;
    if (work_ > kMaxSubsetWork) {
      throw Error(ErrorCode::kInvalidRequest, "grammar: too complex, its alternatives overlap too much");
    }
  }

 private:
  const NfaSet& nfas_;
  uint32_t end_ = 0;
  std::vector<uint32_t> mark_;
  uint32_t round_ = 0;
  std::unordered_map<Subset, uint32_t, SubsetHash> numbers_;  // nodes of it do not move
  std::vector<const std::pair<const Subset, uint32_t>*> pending_;
  size_t taken_ = 0;
  uint64_t work_ = 0;
};

}  // namespace

Automaton Determinizer::run(const NfaSet& nfas) {
  const ByteClasses classes(nfas);
  Automaton out;
  out.byte_class_ = classes.of;
  out.classes_ = classes.first.size();
  out.states_.emplace_back();  // kDead
  out.table_.assign(out.classes_, kDead);

  RuleSubsets subsets(nfas);
  const auto state_of = [&](Subset nodes, uint32_t rule) {
    const auto fresh = static_cast<uint32_t>(out.states_.size());
    const uint32_t state = subsets.number(subsets.closure(std::move(nodes)), fresh);
    if (state != fresh) return state;
    if (out.states_.size() >= kMaxStates ||
        (out.table_.size() + out.classes_) * sizeof(uint32_t) > kMaxTableBytes) {
      throw Error(ErrorCode::kInvalidRequest,
                  fmt::format("grammar: too complex, it needs more than {} automaton states", fresh));
    }
    out.states_.push_back({.rule = rule});
    out.table_.resize(out.table_.size() + out.classes_, kDead);
    return state;
  };

  for (uint32_t r = 0; r < nfas.rules.size(); ++r) {
    const NfaRule& rule = nfas.rules[r];
    subsets.begin_rule(rule.end);
    out.rules_.push_back({.counted = rule.counted, .min = rule.min, .max = rule.max});
    out.rules_[r].start = state_of({rule.start}, r);

    while (const auto* item = subsets.take()) {
      const Subset& subset = item->first;
      const uint32_t state = item->second;
      std::map<uint32_t, Subset> by_class, by_rule, by_token;
      for (const uint32_t n : subset) {
        if (n == rule.end) out.states_[state].accepting = true;
        for (const NfaEdge& e : nfas.nodes[n]) {
          switch (e.kind) {
            case NfaEdge::Kind::kEpsilon:
              break;
            case NfaEdge::Kind::kBytes:
              subsets.count_work(classes.of[e.last] - classes.of[e.first] + size_t{1});
              for (uint32_t c = classes.of[e.first]; c <= classes.of[e.last]; ++c)
                by_class[c].push_back(e.to);
              break;
            case NfaEdge::Kind::kCall:
              by_rule[e.value].push_back(e.to);
              break;
            case NfaEdge::Kind::kToken:
              by_token[e.value].push_back(e.to);
              break;
          }
        }
      }
      const Subset* last_nodes = nullptr;  // neighbouring classes mostly lead to the same place
      uint32_t last_state = kDead;
      for (auto& [c, nodes] : by_class) {
        if (last_nodes == nullptr || *last_nodes != nodes) last_state = state_of(nodes, r);
        last_nodes = &nodes;
        out.table_[static_cast<size_t>(state) * out.classes_ + c] = last_state;
      }
      out.states_[state].first_call = static_cast<uint32_t>(out.calls_.size());
      out.states_[state].calls = static_cast<uint32_t>(by_rule.size());
      for (auto& [callee, nodes] : by_rule) out.calls_.push_back({callee, state_of(std::move(nodes), r)});
      out.states_[state].first_token = static_cast<uint32_t>(out.tokens_.size());
      out.states_[state].tokens = static_cast<uint32_t>(by_token.size());
      for (auto& [id, nodes] : by_token) {
        out.tokens_.push_back({static_cast<TokenId>(id), state_of(std::move(nodes), r)});
      }
    }
  }
  return out;
}

}  // namespace mach::grammar
