#include "text/tokenizer/decoder.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "base/utf8.h"
#include "text/tokenizer/byte_level.h"
#include "text/tokenizer/normalizer.h"

namespace mach {
namespace {

constexpr std::string_view kSupported =
    "supported are ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace and Sequence";
constexpr std::string_view kSupportedAfterJoint =
    "after Fuse and ByteLevel, supported are Strip, Replace and Fuse";
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// "<0x41>" -> 0x41. A sign is no digit; case of the digits does not matter.
std::optional<char> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return std::nullopt;
  unsigned value = 0;
  const char* end = token.data() + 5;
  const auto [stop, error] = std::from_chars(token.data() + 3, end, value, 16);
  if (error != std::errc() || stop != end) return std::nullopt;
  return static_cast<char>(value);
}

std::string_view strip_front(std::string_view text, std::string_view character, uint64_t& budget) {
  for (; budget > 0 && text.starts_with(character); --budget) text.remove_prefix(character.size());
  return text;
}

std::string_view strip_back(std::string_view text, std::string_view character, uint64_t budget) {
  for (; budget > 0 && text.ends_with(character); --budget) text.remove_suffix(character.size());
  return text;
}

// Length of the longest end of `text` that could grow into `pattern`.
size_t partial_match(std::string_view text, std::string_view pattern) {
  for (size_t length = std::min(text.size(), pattern.size() - 1); length > 0; --length) {
    if (text.ends_with(pattern.substr(0, length))) return length;
  }
  return 0;
}

std::string one_character(const Component& component, const char* key) {
  std::string text = component.string(key);
  if (text.empty() || decode_utf8(text).length != text.size()) component.fail_corrupt(key, "one character");
  return text;
}

}  // namespace

Decoder::Decoder(const Component& component) {
  if (component.is_null()) return;
  joint_ = Joint::kPlain;
  add(component, 0);
}

void Decoder::add(const Component& component, int depth) {
  const std::string type = component.type();
  const bool joined = joint_ != Joint::kPlain;
  if (type == "Sequence") {
    if (depth == kMaxSequenceDepth) component.fail_unsupported("type", "Sequences may not nest deeper");
    for (const Component& child : component.children("decoders")) add(child, depth + 1);
  } else if (type == "Fuse") {
    if (!joined) joint_ = Joint::kText;
  } else if (type == "ByteLevel") {
    if (joined) component.fail_unsupported("type", kSupportedAfterJoint);
    joint_ = Joint::kBytes;
  } else if (type == "ByteFallback") {
    if (joined) component.fail_unsupported("type", kSupportedAfterJoint);
    token_steps_.emplace_back(ByteFallback{});
  } else if (type == "Strip") {
    constexpr uint64_t kMost = 1 << 20;
    Strip strip{one_character(component, "content"), component.integer("start", kMost),
                component.integer("stop", kMost)};
    if (joined) {
      text_steps_.emplace_back(std::move(strip));
    } else {
      token_steps_.emplace_back(std::move(strip));
    }
  } else if (type == "Replace") {
    add_replace(component);
  } else if (type == "Metaspace") {
    if (joined) component.fail_unsupported("type", kSupportedAfterJoint);
    add_metaspace(component);
  } else {
    component.fail_unsupported("type", kSupported);
  }
  constexpr size_t kMaxSteps = 32;
  if (token_steps_.size() + text_steps_.size() > kMaxSteps)
    component.fail_unsupported("type", "there are too many steps");
}

void Decoder::add_replace(const Component& component) {
  const Component::Pattern pattern = component.pattern("pattern");
  std::string to = component.string("content");
  if (pattern.text.empty()) component.fail_unsupported("pattern", "an empty pattern matches everywhere");
  const auto add_to = [&](auto& steps) {
    if (pattern.is_regex) {
      steps.emplace_back(ReplaceRegex{Regex(pattern.text, pattern.path), std::move(to)});
    } else {
      steps.emplace_back(ReplaceString{pattern.text, std::move(to)});
    }
  };
  if (joint_ == Joint::kPlain) {
    add_to(token_steps_);
  } else {
    add_to(text_steps_);
  }
}

void Decoder::add_metaspace(const Component& component) {
  const bool prepends = component.boolean_or("add_prefix_space", true) &&
                        component.string_or("prepend_scheme", "always") != "never";
  token_steps_.emplace_back(Metaspace{one_character(component, "replacement"), prepends});
}

void Decoder::prepare(State& state) const {
  if (state.tokens.size() != token_steps_.size()) state.tokens.resize(token_steps_.size());
  if (state.texts.size() != text_steps_.size()) state.texts.resize(text_steps_.size());
}

void Decoder::push(std::string_view token, State& state, std::string& out) const {
  prepare(state);
  run_token(0, token, state, out);
}

void Decoder::push_bytes(std::string_view bytes, State& state, std::string& out) const {
  prepare(state);
  if (state.bytes.empty() && is_valid_utf8(bytes)) return run_text(0, bytes, state, out);
  state.bytes += bytes;
  const size_t complete = complete_utf8_prefix(state.bytes);
  const std::string text = replace_invalid_utf8(std::string_view(state.bytes).substr(0, complete));
  state.bytes.erase(0, complete);
  run_text(0, text, state, out);
}

void Decoder::run_token(size_t step, std::string_view token, State& state, std::string& out) const {
  if (step == token_steps_.size()) return join(token, state, out);
  State::Step& own = state.tokens[step];
  const TokenStep& rule = token_steps_[step];
  std::string changed;
  if (std::holds_alternative<ByteFallback>(rule)) {
    if (const std::optional<char> byte = byte_of_token(token)) {
      own.held.push_back(*byte);
      return;
    }
    end_byte_run(step, state, out);
  } else if (const auto* string = std::get_if<ReplaceString>(&rule)) {
    if (replace_all(token, string->from, string->to, changed)) token = changed;
  } else if (const auto* regex = std::get_if<ReplaceRegex>(&rule)) {
    if (!state.regex) state.regex = std::make_unique<RegexScratch>();
    if (replace_all(token, regex->pattern, regex->to, *state.regex, changed)) token = changed;
  } else if (const auto* strip = std::get_if<Strip>(&rule)) {
    uint64_t budget = strip->start;
    token = strip_back(strip_front(token, strip->character, budget), strip->character, strip->stop);
  } else if (const auto* metaspace = std::get_if<Metaspace>(&rule)) {
    const bool drop = metaspace->drop_in_first && own.count++ == 0;
    if (replace_all(token, metaspace->character, drop ? "" : " ", changed)) token = changed;
  }
  run_token(step + 1, token, state, out);
}

// A run that is UTF-8 as a whole becomes text; in any other, every byte becomes U+FFFD.
void Decoder::end_byte_run(size_t step, State& state, std::string& out) const {
  const std::string run = std::exchange(state.tokens[step].held, {});
  if (run.empty()) return;
  if (is_valid_utf8(run)) return run_token(step + 1, run, state, out);
  for (size_t i = 0; i < run.size(); ++i) run_token(step + 1, kReplacement, state, out);
}

void Decoder::join(std::string_view token, State& state, std::string& out) const {
  switch (joint_) {
    case Joint::kSpaces:
      if (state.token_count++ > 0) out.push_back(' ');
      out.append(token);
      return;
    case Joint::kPlain:
      out.append(token);
      return;
    case Joint::kText:
      run_text(0, token, state, out);
      return;
    case Joint::kBytes: {
      std::string bytes;
      append_byte_level_decoded(token, bytes);
      push_bytes(bytes, state, out);
      return;
    }
  }
}

void Decoder::run_text(size_t step, std::string_view text, State& state, std::string& out) const {
  if (text.empty()) return;
  if (step == text_steps_.size()) {
    out.append(text);
    return;
  }
  State::Step& own = state.texts[step];
  const TextStep& rule = text_steps_[step];
  if (const auto* strip = std::get_if<Strip>(&rule)) {
    if (!own.closed) {
      uint64_t budget = strip->start - own.count;
      text = strip_front(text, strip->character, budget);
      own.count = strip->start - budget;
      own.closed = !text.empty() || budget == 0;
    }
    own.held += text;
    const std::string all = std::exchange(own.held, {});
    const std::string_view certain = strip_back(all, strip->character, strip->stop);
    own.held = all.substr(certain.size());
    return run_text(step + 1, certain, state, out);
  }
  own.held += text;
  const auto* string = std::get_if<ReplaceString>(&rule);
  if (string == nullptr) return;  // a regex needs the whole text
  std::string done;
  size_t from = 0;
  for (size_t found = own.held.find(string->from); found != std::string::npos;
       found = own.held.find(string->from, from)) {
    done.append(own.held, from, found - from).append(string->to);
    from = found + string->from.size();
  }
  const std::string_view rest = std::string_view(own.held).substr(from);
  const size_t certain = rest.size() - partial_match(rest, string->from);
  done.append(rest.substr(0, certain));
  own.held.erase(0, from + certain);
  run_text(step + 1, done, state, out);
}

void Decoder::finish_text(size_t step, State& state, std::string& out) const {
  if (step == text_steps_.size()) return;
  std::string rest = std::exchange(state.texts[step].held, {});
  if (std::holds_alternative<Strip>(text_steps_[step])) {
    rest.clear();  // what it held is what it strips
  } else if (const auto* regex = std::get_if<ReplaceRegex>(&text_steps_[step])) {
    if (!state.regex) state.regex = std::make_unique<RegexScratch>();
    std::string changed;
    if (replace_all(rest, regex->pattern, regex->to, *state.regex, changed)) rest = std::move(changed);
  }
  run_text(step + 1, rest, state, out);
  finish_text(step + 1, state, out);
}

void Decoder::finish(State& state, std::string& out) const {
  prepare(state);
  for (size_t step = 0; step < token_steps_.size(); ++step) {
    if (std::holds_alternative<ByteFallback>(token_steps_[step])) end_byte_run(step, state, out);
  }
  run_text(0, replace_invalid_utf8(std::exchange(state.bytes, {})), state, out);
  finish_text(0, state, out);
  state = State{};
}

void Decoder::append_token_bytes(std::string_view token, Buffers& buffers, std::string& out) const {
  std::string_view text = token;
  for (const TokenStep& rule : token_steps_) {
    bool changed = false;
    if (std::holds_alternative<ByteFallback>(rule)) {
      if (const std::optional<char> byte = byte_of_token(text)) {
        out.push_back(*byte);
        return;
      }
    } else if (const auto* string = std::get_if<ReplaceString>(&rule)) {
      changed = replace_all(text, string->from, string->to, buffers.changed);
    } else if (const auto* regex = std::get_if<ReplaceRegex>(&rule)) {
      changed = replace_all(text, regex->pattern, regex->to, buffers.regex, buffers.changed);
    } else if (const auto* strip = std::get_if<Strip>(&rule)) {
      uint64_t budget = strip->start;
      text = strip_back(strip_front(text, strip->character, budget), strip->character, strip->stop);
    } else if (const auto* metaspace = std::get_if<Metaspace>(&rule)) {
      changed = replace_all(text, metaspace->character, " ", buffers.changed);
    }
    if (changed) {
      buffers.text.swap(buffers.changed);
      text = buffers.text;
    }
  }
  if (joint_ == Joint::kBytes) {
    append_byte_level_decoded(text, out);
  } else {
    out.append(text);
  }
}

}  // namespace mach
