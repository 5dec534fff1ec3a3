#include "text/grammar/automaton.h"

#include <algorithm>

#include <fmt/format.h>

#include "mach/error.h"

#include "text/grammar/determinizer.h"

namespace mach::grammar {
namespace {

constexpr uint32_t kNever = kUnbounded;  // height of what cannot be completed

}  // namespace

Automaton Automaton::compile(const Grammar& grammar) {
  const NfaSet nfas = build_nfas(grammar);
  Automaton automaton = Determinizer::run(nfas);
  automaton.refuse_left_recursion(nfas);
  automaton.trim();
  return automaton;
}

size_t Automaton::memory_bytes() const {
  return states_.size() * sizeof(State) + table_.size() * sizeof(uint32_t) + calls_.size() * sizeof(Call) +
         tokens_.size() * sizeof(TokenEdge);
}

// A rule that can be reached from its own start without reading anything would be entered forever.
void Automaton::refuse_left_recursion(const NfaSet& nfas) const {
  // Which rules may match nothing, and through which states a rule can go without reading.
  std::vector<bool> empty(rules_.size());
  std::vector<std::vector<uint32_t>> silent(rules_.size());
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t r = 0; r < rules_.size(); ++r) {
      std::vector<uint32_t>& reached = silent[r];
      if (reached.empty()) reached.push_back(rules_[r].start);
      for (size_t i = 0; i < reached.size(); ++i) {
        if (accepting(reached[i]) && !empty[r]) {
          empty[r] = true;
          changed = true;
        }
        for (const Call& call : calls(reached[i])) {
          if (!empty[call.rule] ||
              std::find(reached.begin(), reached.end(), call.return_state) != reached.end()) {
            continue;
          }
          reached.push_back(call.return_state);
          changed = true;
        }
      }
    }
  }

  // Depth-first over "starts with a call of", by hand: chains may be long.
  enum class Mark : uint8_t { kNew, kOpen, kDone };
  std::vector<Mark> marks(rules_.size(), Mark::kNew);
  struct Visit {
    uint32_t rule;
    std::vector<uint32_t> callees;
  };
  const auto callees = [&](uint32_t rule) {
    std::vector<uint32_t> out;
    for (const uint32_t state : silent[rule]) {
      for (const Call& call : calls(state)) out.push_back(call.rule);
    }
    return out;
  };
  for (uint32_t root = 0; root < rules_.size(); ++root) {
    if (marks[root] != Mark::kNew) continue;
    std::vector<Visit> path;
    marks[root] = Mark::kOpen;
    path.push_back({root, callees(root)});
    while (!path.empty()) {
      Visit& visit = path.back();
      if (visit.callees.empty()) {
        marks[visit.rule] = Mark::kDone;
        path.pop_back();
        continue;
      }
      const uint32_t next = visit.callees.back();
      visit.callees.pop_back();
      if (marks[next] == Mark::kOpen) {
        throw Error(ErrorCode::kInvalidRequest,
                    fmt::format("grammar: rule \"{}\" is left-recursive: it can begin with itself",
                                nfas.rules[next].name));
      }
      if (marks[next] == Mark::kDone) continue;
      marks[next] = Mark::kOpen;
      path.push_back({next, callees(next)});
    }
  }
}

// Finds the height of every state and cuts the edges to those that have none.
void Automaton::trim() {
  std::vector<std::vector<uint32_t>> users(states_.size());  // states whose height depends on a state's
  std::vector<std::vector<uint32_t>> callers(rules_.size());
  std::vector<uint32_t> height(states_.size(), kNever);
  for (uint32_t s = 1; s < states_.size(); ++s) {
    uint32_t last = kDead;
    for (size_t c = 0; c < classes_; ++c) {
      const uint32_t t = table_[s * classes_ + c];
      if (t != kDead && t != last) users[t].push_back(s);
      last = t;
    }
    for (const Call& call : calls(s)) {
      users[call.return_state].push_back(s);
      callers[call.rule].push_back(s);
    }
    for (const TokenEdge& edge : token_edges(s)) users[edge.target].push_back(s);
  }

  const auto measured = [&](uint32_t s) {
    uint32_t best = accepting(s) ? 0 : kNever;
    for (size_t c = 0; c < classes_ && best > 0; ++c) {
      const uint32_t t = table_[s * classes_ + c];
      if (t != kDead) best = std::min(best, height[t]);
    }
    for (const TokenEdge& edge : token_edges(s)) best = std::min(best, height[edge.target]);
    for (const Call& call : calls(s)) {
      const uint32_t inside = height[rules_[call.rule].start];
      if (inside == kNever) continue;
      best = std::min(best, std::max(height[call.return_state], inside + 1));
    }
    return best;
  };
  std::vector<uint32_t> work;
  for (uint32_t s = static_cast<uint32_t>(states_.size()) - 1; s > 0; --s) work.push_back(s);
  std::vector<bool> queued(states_.size(), true);
  while (!work.empty()) {
    const uint32_t s = work.back();
    work.pop_back();
    queued[s] = false;
    const uint32_t now = measured(s);
    if (now >= height[s]) continue;
    height[s] = now;
    const auto queue = [&](uint32_t user) {
      if (!queued[user]) work.push_back(user);
      queued[user] = true;
    };
    for (const uint32_t user : users[s]) queue(user);
    if (s == rules_[states_[s].rule].start) {
      for (const uint32_t caller : callers[states_[s].rule]) queue(caller);
    }
  }

  const uint32_t root = height[root_start()];
  if (root == kNever) throw Error(ErrorCode::kInvalidRequest, "grammar: no text can match it");
  if (root > kMaxStackDepth) {
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("grammar: even its shortest text nests deeper than {} levels", kMaxStackDepth));
  }

  for (uint32_t& target : table_) {
    if (height[target] == kNever) target = kDead;
  }
  std::vector<Call> live_calls;
  std::vector<TokenEdge> live_tokens;
  for (uint32_t s = 1; s < states_.size(); ++s) {
    State& state = states_[s];
    const auto first_call = static_cast<uint32_t>(live_calls.size());
    const auto first_token = static_cast<uint32_t>(live_tokens.size());
    for (const Call& call : calls(s)) {
      if (height[call.return_state] != kNever && height[rules_[call.rule].start] != kNever) {
        live_calls.push_back(call);
      }
    }
    for (const TokenEdge& edge : token_edges(s)) {
      if (height[edge.target] != kNever) live_tokens.push_back(edge);
    }
    state.first_call = first_call;
    state.calls = static_cast<uint32_t>(live_calls.size()) - first_call;
    state.first_token = first_token;
    state.tokens = static_cast<uint32_t>(live_tokens.size()) - first_token;

    const RuleInfo& rule = rules_[state.rule];
    // A counted rule may have to go round again, whatever this iteration needs.
    state.height = rule.counted ? std::max(height[s], height[rule.start]) : height[s];
    if (state.height != kNever) max_height_ = std::max(max_height_, state.height);
    state.simple = state.calls == 0 && !state.accepting;
    const auto row = table_.begin() + static_cast<std::ptrdiff_t>(s * classes_);
    state.returns_only =
        state.accepting && !rule.counted && state.calls == 0 && state.tokens == 0 &&
        std::all_of(row, row + static_cast<std::ptrdiff_t>(classes_), [](uint32_t t) { return t == kDead; });
  }
  calls_ = std::move(live_calls);
  tokens_ = std::move(live_tokens);
}

}  // namespace mach::grammar
