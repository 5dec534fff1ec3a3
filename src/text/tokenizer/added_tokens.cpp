#include "text/tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "text/tokenizer/characters.h"

namespace mach {
namespace {

bool is_recognised(const AddedToken& token, AddedTokenFilter filter) {
  return filter == AddedTokenFilter::kAll || token.special == (filter == AddedTokenFilter::kSpecial);
}

bool stands_alone(std::string_view text, size_t begin, size_t end) {
  return !ends_with_word_character(text.substr(0, begin)) && !starts_with_word_character(text.substr(end));
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<Pattern> patterns) {
  if (patterns.empty()) return;
  std::stable_sort(patterns.begin(), patterns.end(),
                   [](const Pattern& a, const Pattern& b) { return a.text < b.text; });
  build(patterns);
  for (const Pattern& pattern : patterns) starts_[static_cast<uint8_t>(pattern.text[0])] = true;
}

// Level by level: a node stands for a range of the sorted patterns that share its prefix.
void AddedTokenMatcher::build(const std::vector<Pattern>& patterns) {
  struct Range {
    size_t begin, end, depth;
  };
  std::vector<Range> ranges = {{0, patterns.size(), 0}};
  nodes_.resize(1);
  for (size_t n = 0; n < nodes_.size(); ++n) {
    auto [begin, end, depth] = ranges[n];
    while (begin < end && patterns[begin].text.size() == depth) nodes_[n].token = patterns[begin++].token;
    nodes_[n].first_child = static_cast<uint32_t>(nodes_.size());
    while (begin < end) {
      const char byte = patterns[begin].text[depth];
      size_t next = begin;
      while (next < end && patterns[next].text[depth] == byte) ++next;
      ranges.push_back({begin, next, depth + 1});
      nodes_.push_back({nullptr, 0, 0, static_cast<uint8_t>(byte)});
      ++nodes_[n].child_count;
      begin = next;
    }
  }
}

const AddedTokenMatcher::Node* AddedTokenMatcher::child(const Node& node, uint8_t byte) const noexcept {
  const Node* begin = nodes_.data() + node.first_child;
  const Node* end = begin + node.child_count;
  const Node* found = std::lower_bound(begin, end, byte, [](const Node& n, uint8_t b) { return n.byte < b; });
  return found != end && found->byte == byte ? found : nullptr;
}

AddedTokenMatcher::Found AddedTokenMatcher::longest_at(std::string_view text, size_t pos) const noexcept {
  Found best;
  const Node* node = &nodes_[0];
  for (size_t i = pos; i < text.size(); ++i) {
    node = child(*node, static_cast<uint8_t>(text[i]));
    if (node == nullptr) break;
    if (node->token != nullptr) best = {node->token, i + 1 - pos};
  }
  return best;
}

void AddedTokenMatcher::split(std::string_view text, AddedTokenFilter filter,
                              FunctionRef<void(std::string_view)> on_text,
                              FunctionRef<void(const AddedToken&)> on_token) const {
  size_t done = 0;  // everything before it has been handed out
  const bool active = !empty() && filter != AddedTokenFilter::kNone;
  for (size_t pos = 0; active && pos < text.size();) {
    if (!starts_[static_cast<uint8_t>(text[pos])]) {
      ++pos;
      continue;
    }
    const Found found = longest_at(text, pos);
    if (found.token == nullptr) {
      ++pos;
      continue;
    }
    size_t begin = pos;
    size_t end = pos + found.length;
    pos = end;
    const AddedToken& token = *found.token;
    if (!is_recognised(token, filter)) continue;
    if (token.single_word && !stands_alone(text, begin, end)) continue;
    if (token.lstrip) begin = std::max(begin - trailing_white_space(text.substr(0, begin)), done);
    if (token.rstrip) end += leading_white_space(text.substr(end));
    if (done < begin) on_text(text.substr(done, begin - done));
    if (begin < end) on_token(token);  // else an rstrip before it has taken all of it
    done = end;
  }
  if (done < text.size()) on_text(text.substr(done));
}

}  // namespace mach
