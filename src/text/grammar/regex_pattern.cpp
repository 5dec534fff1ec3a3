#include "text/grammar/regex_pattern.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/utf8.h"

namespace mach::grammar {
namespace {

constexpr size_t kMaxPatternBytes = 4096;
constexpr int kMaxGroups = 64;            // nesting
constexpr uint32_t kMaxCount = 1000;      // of {m,n}
constexpr size_t kMaxNodes = 20'000;      // of the nondeterministic automaton
constexpr uint64_t kMaxWork = 4'000'000;  // edges looked at while making it deterministic

// The text is read as BEGIN text END, where the two are characters that exist nowhere else: an anchor is then a character
// like any other, and the rest of the theory need not know of it.
constexpr char32_t kBegin = 0x110000;
constexpr char32_t kEnd = 0x110001;
constexpr char32_t kLastCharacter = 0x10FFFF;

struct Edge {
  bool epsilon;
  char32_t first, last;
  uint32_t to;
};

struct Fragment {
  uint32_t start, end;
};

const CharSet& digits() {
  static const CharSet kSet = CharSet::range(U'0', U'9');
  return kSet;
}

const CharSet& word_characters() {
  static const CharSet kSet = CharSet::range(U'a', U'z').add(U'A', U'Z').add(U'0', U'9').add(U'_');
  return kSet;
}

// WhiteSpace and LineTerminator of ECMA-262.
const CharSet& spaces() {
  static const CharSet kSet = CharSet::range(0x09, 0x0D)
                                  .add(0x20)
                                  .add(0xA0)
                                  .add(0x1680)
                                  .add(0x2000, 0x200A)
                                  .add(0x2028, 0x2029)
                                  .add(0x202F)
                                  .add(0x205F)
                                  .add(0x3000)
                                  .add(0xFEFF);
  return kSet;
}

const CharSet& line_ends() {
  static const CharSet kSet = CharSet::of(U"\n\r").add(0x2028, 0x2029);
  return kSet;
}

// Recursive descent straight into a nondeterministic automaton. What is repeated is parsed again for each copy, from the
// same place in the text.
class PatternParser {
 public:
  explicit PatternParser(std::string_view pattern) {
    if (pattern.size() > kMaxPatternBytes) {
      throw Error(ErrorCode::kInvalidRequest, fmt::format("is longer than {} bytes", kMaxPatternBytes));
    }
    while (!pattern.empty()) {
      const Utf8Char c = decode_utf8(pattern);
      text_ += c.code_point;
      pattern.remove_prefix(c.length);
    }
  }

  Fragment parse() {
    const Fragment body = alternatives(0);
    if (at_ < text_.size()) fail("unmatched )");
    // BEGIN anything body anything END; the anchors in the body take BEGIN and END themselves.
    const uint32_t start = node();
    const uint32_t before = node();
    epsilon(start, body.start);
    edge(start, kBegin, kBegin, before);
    edge(before, 0, kLastCharacter, before);
    epsilon(before, body.start);
    const uint32_t after = node();
    const uint32_t end = node();
    epsilon(body.end, after);
    edge(after, 0, kLastCharacter, after);
    edge(after, kEnd, kEnd, end);
    epsilon(body.end, end);
    return {start, end};
  }

  const std::vector<std::vector<Edge>>& nodes() const { return nodes_; }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw Error(ErrorCode::kInvalidRequest, fmt::format("{} at character {}", what, at_ + 1));
  }

  uint32_t node() {
    if (nodes_.size() >= kMaxNodes) fail("the pattern is too large");
    nodes_.emplace_back();
    return static_cast<uint32_t>(nodes_.size() - 1);
  }
  void epsilon(uint32_t from, uint32_t to) { nodes_[from].push_back({true, 0, 0, to}); }
  void edge(uint32_t from, char32_t first, char32_t last, uint32_t to) {
    nodes_[from].push_back({false, first, last, to});
  }

  bool more() const { return at_ < text_.size(); }
  bool looking_at(std::u32string_view what) const {
    return std::u32string_view(text_).substr(at_).starts_with(what);
  }
  bool skip(std::u32string_view what) {
    if (!looking_at(what)) return false;
    at_ += what.size();
    return true;
  }

  Fragment alternatives(int depth) {
    if (depth > kMaxGroups) fail("groups are nested too deeply");
    const Fragment whole{node(), node()};
    do {
      const Fragment one = terms(depth);
      epsilon(whole.start, one.start);
      epsilon(one.end, whole.end);
    } while (skip(U"|"));
    return whole;
  }

  Fragment terms(int depth) {
    Fragment all{node(), 0};
    all.end = all.start;
    while (more() && text_[at_] != U'|' && text_[at_] != U')') {
      const Fragment one = quantified(depth);
      epsilon(all.end, one.start);
      all.end = one.end;
    }
    return all;
  }

  Fragment quantified(int depth) {
    const size_t begin = at_;
    Fragment one = atom(depth);
    uint32_t min = 1;
    uint32_t max = 1;
    if (!quantifier(min, max)) return one;
    const size_t end = at_;
    if (min > max) fail("a repetition with its limits reversed");

    const Fragment all{node(), node()};
    uint32_t last = all.start;
    const auto copy = [&] {
      at_ = begin;
      return atom(depth);
    };
    const uint32_t copies = max == kUnbounded ? min + 1 : max;
    bool fresh = true;  // the fragment parsed above is the first copy
    for (uint32_t i = 0; i < copies; ++i) {
      const Fragment next = std::exchange(fresh, false) ? one : copy();
      if (i >= min) epsilon(last, all.end);
      if (i >= min && max == kUnbounded) {
        const uint32_t loop = node();
        epsilon(last, loop);
        epsilon(loop, next.start);
        epsilon(next.end, loop);
        epsilon(loop, all.end);
        last = loop;
      } else {
        epsilon(last, next.start);
        last = next.end;
      }
    }
    epsilon(last, all.end);
    at_ = end;
    return all;
  }

  bool quantifier(uint32_t& min, uint32_t& max) {
    if (skip(U"*")) {
      min = 0, max = kUnbounded;
    } else if (skip(U"+")) {
      max = kUnbounded;
    } else if (skip(U"?")) {
      min = 0;
    } else if (!braces(min, max)) {
      return false;
    }
    skip(U"?");  // a lazy one admits the same texts
    return true;
  }

  bool braces(uint32_t& min, uint32_t& max) {
    const size_t begin = at_;
    if (!skip(U"{")) return false;
    const auto first = number();
    if (first) {
      min = max = *first;
      if (skip(U",")) {
        const auto second = number();
        max = second ? *second : kUnbounded;
      }
      if (skip(U"}")) return true;
    }
    at_ = begin;
    fail("{ that is no repetition; write \\{");
  }

  std::optional<uint32_t> number() {
    const size_t begin = at_;
    uint32_t value = 0;
    for (; more() && digits().contains(text_[at_]); ++at_) {
      value = value * 10 + (text_[at_] - U'0');
      if (value > kMaxCount) fail(fmt::format("a repetition of more than {} times", kMaxCount));
    }
    return at_ > begin ? std::optional(value) : std::nullopt;
  }

  Fragment of_set(const CharSet& set) {
    const Fragment out{node(), node()};
    for (const CharRange& r : set.ranges()) edge(out.start, r.first, r.last, out.end);
    return out;
  }

  Fragment atom(int depth) {
    const char32_t c = text_[at_];
    switch (c) {
      case U'(':
        return group(depth);
      case U'[':
        return of_set(character_class());
      case U'.':
        ++at_;
        return of_set(line_ends().complement());
      case U'^':
      case U'$': {
        ++at_;
        const Fragment out{node(), node()};
        edge(out.start, c == U'^' ? kBegin : kEnd, c == U'^' ? kBegin : kEnd, out.end);
        return out;
      }
      case U'\\':
        return of_set(escape(false));
      case U'*':
      case U'+':
      case U'?':
        fail("nothing to repeat");
      case U'{':
      case U'}':
      case U']':
        fail("unescaped bracket");
      default:
        ++at_;
        return of_set(CharSet::range(c, c));
    }
  }

  Fragment group(int depth) {
    ++at_;
    if (skip(U"?")) {
      if (looking_at(U"=") || looking_at(U"!") || looking_at(U"<=") || looking_at(U"<!")) {
        fail("look-around cannot be enforced");
      }
      if (skip(U"<")) {
        while (more() && text_[at_] != U'>') ++at_;
        if (!skip(U">")) fail("unfinished group name");
      } else if (!skip(U":")) {
        fail("an unknown kind of group");
      }
    }
    const Fragment out = alternatives(depth + 1);
    if (!skip(U")")) fail("unmatched (");
    return out;
  }

  CharSet character_class() {
    ++at_;
    const bool negated = skip(U"^");
    CharSet set;
    while (!looking_at(U"]")) {
      if (!more()) fail("unfinished [");
      const CharSet low = class_member();
      const bool is_range = looking_at(U"-") && at_ + 1 < text_.size() && text_[at_ + 1] != U']';
      if (!is_range) {
        set.add(low);
        continue;
      }
      ++at_;
      const CharSet high = class_member();
      const auto single = [](const CharSet& s) {
        return s.ranges().size() == 1 && s.ranges()[0].first == s.ranges()[0].last;
      };
      if (!single(low) || !single(high)) fail("a range whose end is no character");
      if (low.ranges()[0].first > high.ranges()[0].first) fail("a range with its ends reversed");
      set.add(low.ranges()[0].first, high.ranges()[0].first);
    }
    ++at_;
    return negated ? set.complement() : set;
  }

  CharSet class_member() {
    if (!more()) fail("unfinished [");
    if (text_[at_] == U'\\') return escape(true);
    const char32_t c = text_[at_++];
    return CharSet::range(c, c);
  }

  CharSet escape(bool in_class) {
    ++at_;
    if (!more()) fail("unfinished escape");
    const char32_t c = text_[at_++];
    switch (c) {
      case U'd':
        return digits();
      case U'D':
        return digits().complement();
      case U'w':
        return word_characters();
      case U'W':
        return word_characters().complement();
      case U's':
        return spaces();
      case U'S':
        return spaces().complement();
      case U't':
        return CharSet::of(U"\t");
      case U'n':
        return CharSet::of(U"\n");
      case U'r':
        return CharSet::of(U"\r");
      case U'f':
        return CharSet::of(U"\f");
      case U'v':
        return CharSet::of(U"\v");
      case U'0':
        return CharSet::range(0, 0);
      case U'x':
        return hex_character(2);
      case U'u':
        return unicode_character();
      case U'b':
        if (in_class) return CharSet::of(U"\b");
        [[fallthrough]];
      case U'B':
        fail("a word boundary cannot be enforced");
      case U'p':
      case U'P':
        fail("Unicode properties are not supported");
      case U'k':
        fail("back references cannot be enforced");
      default:
        if (digits().contains(c)) fail("back references cannot be enforced");
        if (word_characters().contains(c)) fail("an unknown escape");
        return CharSet::range(c, c);
    }
  }

  char32_t hex(size_t count) {
    char32_t value = 0;
    for (size_t i = 0; i < count; ++i, ++at_) {
      const char32_t c = more() ? text_[at_] : U'?';
      if (!CharSet::range(U'0', U'9').add(U'a', U'f').add(U'A', U'F').contains(c)) {
        fail("an escape with too few hexadecimal digits");
      }
      value = value * 16 + (c <= U'9' ? c - U'0' : (c | 0x20) - U'a' + 10);
    }
    return value;
  }

  CharSet hex_character(size_t count) {
    const char32_t c = hex(count);
    return CharSet::range(c, c);
  }

  CharSet unicode_character() {
    if (skip(U"{")) {
      size_t count = 0;
      while (at_ + count < text_.size() && text_[at_ + count] != U'}') ++count;
      if (count == 0 || count > 6) fail("an escape that is no character");
      const CharSet set = hex_character(count);
      if (!skip(U"}")) fail("an unfinished escape");
      return set;
    }
    char32_t c = hex(4);
    if (c >= 0xD800 && c < 0xDC00 && skip(U"\\u")) {
      const char32_t low = hex(4);
      if (low < 0xDC00 || low > 0xDFFF) fail("half a surrogate pair");
      c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    return CharSet::range(c, c);
  }

  std::u32string text_;
  size_t at_ = 0;
  std::vector<std::vector<Edge>> nodes_;
};

class Subsets {
 public:
  Subsets(const std::vector<std::vector<Edge>>& nodes, uint32_t end) : nodes_(nodes), end_(end) {}

  CharDfa build(uint32_t start) {
    const uint32_t begin = step_anchor(closure({start}), kBegin);
    order_.push_back(begin);
    place_[begin] = 0;
    std::vector<CharDfa::State> states;
    for (size_t i = 0; i < order_.size(); ++i) states.push_back(state_of(order_[i]));
    return CharDfa(std::move(states));
  }

 private:
  using Subset = std::vector<uint32_t>;

  CharDfa::State state_of(uint32_t subset) {
    CharDfa::State state;
    state.accepting = accepting(step_anchor(subsets_[subset], kEnd));
    // Sweep over the places where the set of edges changes.
    std::map<char32_t, std::vector<const Edge*>> starts;
    std::map<char32_t, bool> cuts;
    for (const uint32_t n : subsets_[subset]) {
      for (const Edge& e : nodes_[n]) {
        if (e.epsilon || e.first > kLastCharacter) continue;
        cuts[e.first] = cuts[e.last + 1] = true;
        starts[e.first].push_back(&e);
      }
    }
    std::vector<const Edge*> open;
    for (auto cut = cuts.begin(); cut != cuts.end(); ++cut) {
      std::erase_if(open, [&](const Edge* e) { return e->last < cut->first; });
      if (const auto begun = starts.find(cut->first); begun != starts.end()) {
        open.insert(open.end(), begun->second.begin(), begun->second.end());
      }
      if (open.empty()) continue;
      count_work(open.size());
      Subset targets;
      for (const Edge* e : open) targets.push_back(e->to);
      const uint32_t to = place(closure(std::move(targets)));
      const char32_t last = std::next(cut)->first - 1;
      if (!state.edges.empty() && state.edges.back().to == to && state.edges.back().last + 1 == cut->first) {
        state.edges.back().last = last;
      } else {
        state.edges.push_back({cut->first, last, to});
      }
    }
    return state;
  }

  Subset closure(Subset from) {
    std::vector<bool> seen(nodes_.size());
    Subset out;
    for (const uint32_t n : from) seen[n] = true;
    while (!from.empty()) {
      const uint32_t n = from.back();
      from.pop_back();
      bool matters = n == end_;
      count_work(nodes_[n].size() + 1);
      for (const Edge& e : nodes_[n]) {
        if (!e.epsilon) {
          matters = true;
        } else if (!seen[e.to]) {
          seen[e.to] = true;
          from.push_back(e.to);
        }
      }
      if (matters) out.push_back(n);
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  // After BEGIN or END. The anchor may be asked for several times ("^^"), it is there only once.
  uint32_t step_anchor(const Subset& from, char32_t anchor) {
    Subset targets;
    for (const uint32_t n : from) {
      for (const Edge& e : nodes_[n]) {
        if (!e.epsilon && e.first == anchor) targets.push_back(e.to);
      }
    }
    Subset all = closure(targets);
    for (size_t before = 0; before != all.size();) {
      before = all.size();
      for (const uint32_t n : Subset(all)) {
        for (const Edge& e : nodes_[n]) {
          if (!e.epsilon && e.first == anchor) targets.push_back(e.to);
        }
      }
      all = closure(targets);
    }
    return intern(std::move(all));
  }

  bool accepting(uint32_t subset) const {
    return std::binary_search(subsets_[subset].begin(), subsets_[subset].end(), end_);
  }

  uint32_t intern(Subset subset) {
    const auto [it, fresh] = numbers_.try_emplace(subset, static_cast<uint32_t>(subsets_.size()));
    if (fresh) subsets_.push_back(std::move(subset));
    return it->second;
  }

  // The state of a subset in the result.
  uint32_t place(Subset subset) {
    const uint32_t number = intern(std::move(subset));
    const auto [it, fresh] = place_.try_emplace(number, static_cast<uint32_t>(order_.size()));
    if (fresh) order_.push_back(number);
    if (order_.size() > kMaxCharStates) {
      throw Error(ErrorCode::kInvalidRequest,
                  fmt::format("the pattern needs more than {} states", kMaxCharStates));
    }
    return it->second;
  }

  void count_work(size_t edges) {
    work_ += edges;
    if (work_ > kMaxWork) throw Error(ErrorCode::kInvalidRequest, "the pattern is too complex");
  }

  const std::vector<std::vector<Edge>>& nodes_;
  const uint32_t end_;
  std::map<Subset, uint32_t> numbers_;
  std::vector<Subset> subsets_;
  std::map<uint32_t, uint32_t> place_;
  std::vector<uint32_t> order_;
  uint64_t work_ = 0;
};

}  // namespace

CharDfa compile_pattern(std::string_view pattern) {
  PatternParser parser(pattern);
  const Fragment whole = parser.parse();
  return Subsets(parser.nodes(), whole.end).build(whole.start);
}

}  // namespace mach::grammar
