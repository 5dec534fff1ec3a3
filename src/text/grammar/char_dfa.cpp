#include "text/grammar/char_dfa.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/utf8.h"

namespace mach::grammar {
namespace {

constexpr char32_t kLastCharacter = 0x10FFFF;

void check_size(size_t states) {
  if (states > kMaxCharStates) {
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("string constraint: too complex, it needs more than {} states", kMaxCharStates));
  }
}

std::u32string characters(std::string_view utf8) {
  std::u32string out;
  while (!utf8.empty()) {
    const Utf8Char c = decode_utf8(utf8);
    out += c.code_point;
    utf8.remove_prefix(c.length);
  }
  return out;
}

uint32_t follow(const CharDfa::State& state, char32_t c, uint32_t otherwise) {
  const auto edge =
      std::lower_bound(state.edges.begin(), state.edges.end(), c,
                       [](const CharDfa::Edge& e, char32_t character) { return e.last < character; });
  return edge != state.edges.end() && edge->first <= c ? edge->to : otherwise;
}

}  // namespace

CharDfa CharDfa::all() { return CharDfa({{.edges = {{0, kLastCharacter, 0}}, .accepting = true}}); }

CharDfa CharDfa::words(std::span<const std::string> texts) {
  std::vector<State> states(1);
  for (const std::string& text : texts) {
    uint32_t at = 0;
    for (const char32_t c : characters(text)) {
      uint32_t to = follow(states[at], c, 0);
      if (to == 0) {
        to = static_cast<uint32_t>(states.size());
        check_size(states.size() + 1);
        auto& edges = states[at].edges;
        edges.insert(std::find_if(edges.begin(), edges.end(), [c](const Edge& e) { return e.first > c; }),
                     Edge{c, c, to});
        states.emplace_back();
      }
      at = to;
    }
    states[at].accepting = true;
  }
  return CharDfa(std::move(states));
}

CharDfa CharDfa::length(uint64_t min, uint64_t max) {
  const uint64_t last = max == kUnbounded ? min : max;
  check_size(last + 1);
  std::vector<State> states(last + 1);
  for (uint32_t i = 0; i <= last; ++i) {
    states[i].accepting = i >= min;
    if (i < last) states[i].edges = {{0, kLastCharacter, i + 1}};
  }
  if (max == kUnbounded) states[last].edges = {{0, kLastCharacter, static_cast<uint32_t>(last)}};
  return CharDfa(std::move(states));
}

// Knuth, Morris, Pratt: state i has just read the first i characters of the text.
CharDfa CharDfa::containing(std::string_view text) {
  const std::u32string word = characters(text);
  const auto n = static_cast<uint32_t>(word.size());
  check_size(word.size() + 1);
  std::vector<State> states(n + 1);
  states[n] = {.edges = {{0, kLastCharacter, n}}, .accepting = true};
  uint32_t border = 0;  // the state of word[1..i)
  for (uint32_t i = 0; i < n; ++i) {
    std::map<char32_t, uint32_t> to;  // characters that lead anywhere but to the start
    if (i > 0) {
      for (const Edge& e : states[border].edges) {
        if (e.first == e.last && e.to != 0) to[e.first] = e.to;
      }
    }
    to[word[i]] = i + 1;
    char32_t next = 0;
    for (const auto& [c, target] : to) {
      if (c > next) states[i].edges.push_back({next, c - 1, 0});
      states[i].edges.push_back({c, c, target});
      next = c + 1;
    }
    states[i].edges.push_back({next, kLastCharacter, 0});
    if (i > 0) border = follow(states[border], word[i], 0);
  }
  return CharDfa(std::move(states));
}

CharDfa CharDfa::intersected(const CharDfa& other) const {
  std::vector<State> states;
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> numbers;
  std::vector<std::pair<uint32_t, uint32_t>> pairs;
  const auto number = [&](uint32_t a, uint32_t b) {
    const auto [it, fresh] = numbers.try_emplace({a, b}, static_cast<uint32_t>(pairs.size()));
    if (fresh) {
      check_size(pairs.size() + 1);
      pairs.emplace_back(a, b);
    }
    return it->second;
  };
  number(0, 0);
  for (size_t i = 0; i < pairs.size(); ++i) {
    const State& a = states_[pairs[i].first];
    const State& b = other.states_[pairs[i].second];
    State state;
    state.accepting = a.accepting && b.accepting;
    auto x = a.edges.begin();
    auto y = b.edges.begin();
    while (x != a.edges.end() && y != b.edges.end()) {
      const char32_t first = std::max(x->first, y->first);
      const char32_t last = std::min(x->last, y->last);
      if (first <= last) state.edges.push_back({first, last, number(x->to, y->to)});
      if (x->last < y->last) {
        ++x;
      } else {
        ++y;
      }
    }
    states.push_back(std::move(state));
  }
  return CharDfa(std::move(states));
}

CharDfa CharDfa::complement() const {
  std::vector<State> states = states_;
  const auto sink = static_cast<uint32_t>(states.size());
  states.emplace_back();
  for (State& state : states) {
    state.accepting = !state.accepting;
    std::vector<Edge> edges;
    char32_t next = 0;
    for (const Edge& e : state.edges) {
      if (e.first > next) edges.push_back({next, e.first - 1, sink});
      edges.push_back(e);
      next = e.last + 1;
    }
    if (next <= kLastCharacter) edges.push_back({next, kLastCharacter, sink});
    state.edges = std::move(edges);
  }
  return CharDfa(std::move(states));
}

bool CharDfa::accepts(std::string_view utf8) const {
  constexpr uint32_t kNowhere = kUnbounded;
  uint32_t at = 0;
  for (const char32_t c : characters(utf8)) {
    at = follow(states_[at], c, kNowhere);
    if (at == kNowhere) return false;
  }
  return states_[at].accepting;
}

bool CharDfa::empty() const {
  std::vector<bool> reached(states_.size());
  std::vector<uint32_t> work = {0};
  reached[0] = true;
  while (!work.empty()) {
    const State& state = states_[work.back()];
    work.pop_back();
    if (state.accepting) return false;
    for (const Edge& e : state.edges) {
      if (!reached[e.to]) work.push_back(e.to);
      reached[e.to] = true;
    }
  }
  return true;
}

ExprId json_characters(GrammarBuilder& builder, const CharSet& set) {
  struct Escape {
    char32_t character;
    std::string_view text;
  };
  constexpr std::array<Escape, 7> kEscapes = {{{U'"', "\\\""},
                                               {U'\\', "\\\\"},
                                               {U'\b', "\\b"},
                                               {U'\f', "\\f"},
                                               {U'\n', "\\n"},
                                               {U'\r', "\\r"},
                                               {U'\t', "\\t"}}};
  CharSet literal = set.without(CharSet::range(0, 0x1F).add(U'"').add(U'\\'));
  std::vector<ExprId> ways;
  if (!literal.empty()) ways.push_back(builder.chars(literal));
  for (char32_t c = 0; c < 0x80; ++c) {
    if (!set.contains(c) || literal.contains(c)) continue;
    const auto named =
        std::find_if(kEscapes.begin(), kEscapes.end(), [c](const Escape& e) { return e.character == c; });
    ways.push_back(builder.bytes(named != kEscapes.end()
                                     ? std::string(named->text)
                                     : fmt::format("\\u{:04x}", static_cast<uint32_t>(c))));
  }
  return ways.empty() ? builder.nothing() : builder.choice(std::move(ways));
}

ExprId string_expression(GrammarBuilder& builder, const CharDfa& dfa, StringEncoding encoding) {
  std::vector<GraphEdge> edges;
  std::vector<uint32_t> accepting;
  std::map<CharSet, ExprId> labels;  // most edges of an automaton carry one of a few sets
  for (uint32_t from = 0; from < dfa.states().size(); ++from) {
    const CharDfa::State& state = dfa.states()[from];
    if (state.accepting) accepting.push_back(from);
    std::map<uint32_t, CharSet> by_target;
    for (const CharDfa::Edge& e : state.edges) by_target[e.to].add(e.first, e.last);
    for (const auto& [to, set] : by_target) {
      if (set.empty()) continue;  // surrogates only
      const auto [it, fresh] = labels.try_emplace(set, ExprId{});
      if (fresh) {
        it->second = encoding == StringEncoding::kRaw ? builder.chars(set) : json_characters(builder, set);
      }
      edges.push_back({from, to, it->second});
    }
  }
  return builder.graph(static_cast<uint32_t>(dfa.states().size()), std::move(edges), std::move(accepting));
}

}  // namespace mach::grammar
