#include "text/chat/gemma_arguments.h"

#include <utility>

#include "text/chat/json_scanner.h"
#include "text/chat/json_text.h"

namespace mach {

using Status = GemmaArguments::Status;

namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// "..." as the model wrote it: JSON if it is, else its inside as text.
std::string quoted_json(std::string_view quoted) {
  if (json_kind(quoted)) return std::string(quoted);
  return json_quoted(quoted.substr(1, quoted.size() - 2));
}

std::string bare_json(std::string_view text) {
  for (const std::string_view word : {"true", "false", "null"}) {
    if (equals_ignoring_case(text, word)) return std::string(word);
  }
  if (equals_ignoring_case(text, "none")) return "null";
  if (auto number = to_json_number(text)) return std::move(number->text);
  return json_quoted(text);
}

}  // namespace

Status GemmaArguments::open(char bracket) {
  if (stack_.size() >= kMaxJsonDepth) return Status::kBroken;
  stack_.push_back(bracket);
  out_.arguments(std::string_view(&bracket, 1));
  first_ = true;
  state_ = bracket == '{' ? State::kKey : State::kValue;
  return Status::kMore;
}

Status GemmaArguments::close(char bracket) {
  if (stack_.empty() || stack_.back() != (bracket == '}' ? '{' : '[')) return Status::kBroken;
  stack_.pop_back();
  out_.arguments(std::string_view(&bracket, 1));
  first_ = false;
  state_ = stack_.empty() ? State::kDone : State::kAfter;
  return stack_.empty() ? Status::kDone : Status::kMore;
}

// Commas are written before an element rather than after one, so that a trailing comma does no harm.
void GemmaArguments::begin_element() {
  if (!first_) out_.arguments(", ");
  first_ = false;
}

bool GemmaArguments::end_key() {
  std::string key(trimmed(std::exchange(text_, {})));
  if (key.empty()) return false;
  begin_element();
  const bool quoted = key.size() >= 2 && key.front() == '"' && key.back() == '"';
  out_.arguments((quoted ? quoted_json(key) : json_quoted(key)) + ": ");
  state_ = State::kValue;
  return true;
}

void GemmaArguments::end_bare() {
  out_.arguments(bare_json(trimmed(text_)));
  text_.clear();
  state_ = State::kAfter;
}

Status GemmaArguments::begin_value(char c) {
  if (stack_.back() == '[') begin_element();
  if (c == '{' || c == '[') return open(c);
  text_ = std::string(1, c);
  escaped_ = false;
  state_ = c == '"' ? State::kQuoted : State::kBare;
  return Status::kMore;
}

Status GemmaArguments::feed(char c) {
  switch (state_) {
    case State::kStart:
      return c == '{' ? open(c) : Status::kBroken;
    case State::kKey:
      if (c == ':') return end_key() ? Status::kMore : Status::kBroken;
      if (c == '}' && trimmed(text_).empty()) return close(c);
      if (std::string_view("{}[],").find(c) != std::string_view::npos) return Status::kBroken;
      text_.push_back(c);
      return Status::kMore;
    case State::kColon:
      if (is_space(c)) return Status::kMore;
      if (c != ':') return Status::kBroken;
      state_ = State::kValue;
      return Status::kMore;
    case State::kValue:
      if (is_space(c)) return Status::kMore;
      if (c == ']' && stack_.back() == '[') return close(c);
      if (c == ',' || c == '}' || c == ']' || c == ':') return Status::kBroken;
      return begin_value(c);
    case State::kQuoted:
      text_.push_back(c);
      if (c == '"' && !escaped_) {
        out_.arguments(quoted_json(std::exchange(text_, {})));
        state_ = State::kAfter;
      }
      escaped_ = c == '\\' && !escaped_;
      return Status::kMore;
    case State::kBare:
      if (c != ',' && c != '}' && c != ']') {
        text_.push_back(c);
        return Status::kMore;
      }
      end_bare();
      [[fallthrough]];
    case State::kAfter:
      if (is_space(c)) return Status::kMore;
      if (c == '}' || c == ']') return close(c);
      if (c != ',') return Status::kBroken;
      state_ = stack_.back() == '{' ? State::kKey : State::kValue;
      return Status::kMore;
    case State::kString:
    case State::kKeyString:
    case State::kDone:
      break;
  }
  return Status::kBroken;
}

Status GemmaArguments::delimiter() {
  switch (state_) {
    case State::kKey:
      if (!trimmed(text_).empty()) return Status::kBroken;
      begin_element();
      state_ = State::kKeyString;
      out_.arguments("\"");
      return Status::kMore;
    case State::kKeyString:
      out_.arguments("\": ");
      state_ = State::kColon;
      return Status::kMore;
    case State::kValue:
      if (stack_.back() == '[') begin_element();
      out_.arguments("\"");
      state_ = State::kString;
      return Status::kMore;
    case State::kString:
      out_.arguments("\"");
      state_ = State::kAfter;
      return Status::kMore;
    default:
      return Status::kBroken;
  }
}

void GemmaArguments::string_text(std::string_view text) {
  std::string escaped;
  append_json_escaped(escaped, text);
  out_.arguments(escaped);
}

}  // namespace mach
