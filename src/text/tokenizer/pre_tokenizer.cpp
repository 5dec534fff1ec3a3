#include "text/tokenizer/pre_tokenizer.h"

#include <utility>

#include "mach/error.h"

#include "base/utf8.h"
#include "text/tokenizer/regex_matches.h"

namespace mach {
namespace {

constexpr std::string_view kSupported =
    "supported are Split, ByteLevel, Digits, Metaspace, Whitespace, WhitespaceSplit, Punctuation and "
    "Sequence";

// The pattern of GPT-2, which ByteLevel brings along (use_regex). Source: tokenizers, pre_tokenizers/byte_level.
constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kNumeric = R"(\p{N})";
constexpr std::string_view kPunctuation = R"([!-/:-@\[-`{-~\p{P}])";
constexpr std::string_view kWords =
    R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}\s]+)";
constexpr std::string_view kWhiteSpace = R"(\s)";

constexpr std::pair<std::string_view, SplitBehavior> kBehaviors[] = {
    {"Isolated", SplitBehavior::kIsolated},
    {"Removed", SplitBehavior::kRemoved},
    {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
    {"MergedWithNext", SplitBehavior::kMergedWithNext},
    {"Contiguous", SplitBehavior::kContiguous}};

SplitBehavior behavior_of(const Component& component) {
  const std::string name = component.string("behavior");
  for (const auto& [row, behavior] : kBehaviors) {
    if (name == row) return behavior;
  }
  component.fail_unsupported(
      "behavior", "supported are Isolated, Removed, MergedWithPrevious, MergedWithNext and Contiguous");
}

// Joins the alternating stretches of a split (match or not; a match may be empty) into pieces by the behaviour. Holds back
// one piece, which the next stretch may extend.
template <class Emit>
class PieceBuilder {
 public:
  PieceBuilder(SplitBehavior behavior, Emit emit) : behavior_(behavior), emit_(std::move(emit)) {}

  void stretch(size_t begin, size_t end, bool is_match) {
    switch (behavior_) {
      case SplitBehavior::kIsolated:
        emit_(begin, end);
        return;
      case SplitBehavior::kRemoved:
        if (!is_match) emit_(begin, end);
        return;
      case SplitBehavior::kMergedWithPrevious:
        return join_if(is_match && !previous_match_, begin, end, is_match);
      case SplitBehavior::kMergedWithNext:
        return join_if(!is_match && previous_match_, begin, end, is_match);
      case SplitBehavior::kContiguous:
        return join_if(is_match == previous_match_, begin, end, is_match);
    }
  }
  void finish() {
    if (held_) emit_(held_begin_, held_end_);
    held_ = false;
  }

 private:
  void join_if(bool join, size_t begin, size_t end, bool is_match) {
    if (!held_ || !join) {
      finish();
      held_begin_ = begin;
    }
    held_ = true;
    held_end_ = end;
    previous_match_ = is_match;
  }

  SplitBehavior behavior_;
  Emit emit_;
  bool held_ = false;
  bool previous_match_ = false;
  size_t held_begin_ = 0;
  size_t held_end_ = 0;
};

template <class OnMatch>
void for_each_match(const std::string& literal, std::string_view text, RegexScratch&, OnMatch on_match) {
  for (size_t found = text.find(literal); found != std::string_view::npos;
       found = text.find(literal, found)) {
    on_match(RegexMatch{found, found + literal.size()});
    found += literal.size();
  }
}

}  // namespace

PreTokenizer::PreTokenizer(const Component& component) {
  if (!component.is_null()) add(component, 0);
}

void PreTokenizer::add_step(const Component& component, Step step) {
  if (byte_level_) component.fail_unsupported("type", "ByteLevel must be the last step");
  if (steps_.size() == kMaxSteps) component.fail_unsupported("type", "there are too many steps");
  steps_.push_back(std::move(step));
}

void PreTokenizer::add_regex(const Component& component, std::string_view regex, SplitBehavior behavior,
                             bool invert) {
  add_step(component, Split{Regex(regex, component.path()), behavior, invert});
}

void PreTokenizer::add(const Component& component, int depth) {
  const std::string type = component.type();
  if (type == "Sequence") {
    if (depth == kMaxSequenceDepth) component.fail_unsupported("type", "Sequences may not nest deeper");
    for (const Component& child : component.children("pretokenizers")) add(child, depth + 1);
  } else if (type == "Split") {
    Component::Pattern pattern = component.pattern("pattern");
    const SplitBehavior behavior = behavior_of(component);
    const bool invert = component.boolean_or("invert", false);
    if (pattern.is_regex || pattern.text.empty()) {
      add_step(component, Split{Regex(pattern.text, pattern.path), behavior, invert});
    } else {
      add_step(component, Split{std::move(pattern.text), behavior, invert});
    }
  } else if (type == "ByteLevel") {
    add_byte_level(component);
  } else if (type == "Metaspace") {
    add_metaspace(component);
  } else if (type == "Digits") {
    const bool individual = component.boolean("individual_digits");
    add_regex(component, kNumeric, individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous, false);
  } else if (type == "Whitespace") {
    add_regex(component, kWords, SplitBehavior::kRemoved, true);
  } else if (type == "WhitespaceSplit") {
    add_regex(component, kWhiteSpace, SplitBehavior::kRemoved, false);
  } else if (type == "Punctuation") {
    const bool stated = component.has("behavior");
    add_regex(component, kPunctuation, stated ? behavior_of(component) : SplitBehavior::kIsolated, false);
  } else {
    component.fail_unsupported("type", kSupported);
  }
}

void PreTokenizer::add_byte_level(const Component& component) {
  if (component.boolean("add_prefix_space")) add_step(component, Prepend{" ", false});
  if (component.boolean_or("use_regex", true)) add_regex(component, kGpt2, SplitBehavior::kIsolated, false);
  if (byte_level_) component.fail_unsupported("type", "ByteLevel must be the last step");
  byte_level_ = true;
}

void PreTokenizer::add_metaspace(const Component& component) {
  const std::string replacement = component.string("replacement");
  const Utf8Char first = replacement.empty() ? Utf8Char{} : decode_utf8(replacement);
  if (replacement.empty() || first.length != replacement.size())
    component.fail_corrupt("replacement", "one character");
  std::string scheme = component.string_or("prepend_scheme", "always");
  if (!component.boolean_or("add_prefix_space", true)) scheme = "never";  // how older files say it
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    component.fail_unsupported("prepend_scheme", "supported are always, first and never");
  }
  add_step(component, Replace{replacement});
  if (scheme != "never") add_step(component, Prepend{replacement, scheme == "first"});
  if (component.boolean_or("split", true)) {
    add_step(component, Split{replacement, SplitBehavior::kMergedWithNext, false});
  }
}

void PreTokenizer::split(std::string_view text, bool at_text_start, Scratch& scratch, Sink sink) const {
  if (!text.empty()) run(0, text, at_text_start, scratch, sink);
}

void PreTokenizer::run(size_t step, std::string_view piece, bool first, Scratch& scratch, Sink sink) const {
  for (; step < steps_.size(); ++step) {
    if (const auto* split = std::get_if<Split>(&steps_[step])) {
      return run_split(*split, step, piece, first, scratch, sink);
    }
    std::string& out = scratch.texts[step];
    if (const auto* replace = std::get_if<Replace>(&steps_[step])) {
      if (piece.find(' ') == std::string_view::npos) continue;
      out.clear();
      for (const char c : piece) {
        if (c == ' ') {
          out.append(replace->space);
        } else {
          out.push_back(c);
        }
      }
    } else {
      const Prepend& prepend = std::get<Prepend>(steps_[step]);
      if (piece.starts_with(prepend.prefix) || (prepend.only_at_text_start && !first)) continue;
      out.assign(prepend.prefix).append(piece);
    }
    piece = out;
  }
  sink(piece);
}

void PreTokenizer::run_split(const Split& split, size_t step, std::string_view piece, bool first,
                             Scratch& scratch, Sink sink) const {
  const bool last = step + 1 == steps_.size();
  PieceBuilder builder(split.behavior, [&](size_t begin, size_t end) {
    if (begin == end) return;
    const std::string_view part = piece.substr(begin, end - begin);
    if (last) {
      sink(part);
    } else {
      run(step + 1, part, first && begin == 0, scratch, sink);
    }
  });
  size_t done = 0;
  const auto on_match = [&](RegexMatch match) {
    if (done < match.begin) builder.stretch(done, match.begin, split.invert);
    builder.stretch(match.begin, match.end, !split.invert);
    done = match.end;
  };
  if (const auto* regex = std::get_if<Regex>(&split.pattern)) {
    for_each_match(*regex, piece, scratch.regex, on_match);
  } else {
    for_each_match(std::get<std::string>(split.pattern), piece, scratch.regex, on_match);
  }
  if (done < piece.size()) builder.stretch(done, piece.size(), split.invert);
  builder.finish();
}

}  // namespace mach
