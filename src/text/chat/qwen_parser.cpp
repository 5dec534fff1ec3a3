#include "text/chat/qwen_parser.h"

#include <utility>

#include "text/chat/json_text.h"

namespace mach {

namespace {

constexpr size_t kMaxNameBytes = 256;  // of a function or parameter; longer ones break the call

}  // namespace

QwenParser::QwenParser(std::span<const MarkerRow> markers, const ParserOptions& options)
    : ThinkParser(markers, options, true) {}

void QwenParser::break_call() {
  break_block();
  state_ = State::kContent;
}

void QwenParser::break_at(Marker marker, std::string_view spelling) {
  break_call();
  content_marker(marker, spelling);
}

void QwenParser::finish_function(State next) {
  arguments_.close();
  out_.finish_call();
  out_.content_boundary();
  raw_.clear();
  state_ = next;
}

void QwenParser::start_function() {
  name_ = trimmed(partial_);
  if (name_.empty() || (bare_ && !tools_->has_tool(name_))) return break_call();
  out_.start_call(name_);
  arguments_.open();
  state_ = State::kFunction;
}

void QwenParser::start_value(std::string_view name) {
  const ArgumentType* type = tools_ != nullptr ? tools_->find(name_, name) : nullptr;
  arguments_.key(name);
  value_.emplace(type != nullptr ? *type : ArgumentType{}, arguments_);
  tail_ = Tail::kNone;
  state_ = State::kValue;
}

void QwenParser::end_value() {
  value_->end();
  tail_ = Tail::kNone;
  tail_text_.clear();
  state_ = State::kFunction;
}

void QwenParser::tail_is_text() {
  value_->text(std::exchange(tail_text_, {}));
  tail_ = Tail::kNone;
}

// --- text

void QwenParser::body_text(std::string_view text) {
  while (!text.empty()) text = consume(text);
}

std::string_view QwenParser::skip_space(std::string_view text) {
  const size_t first = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  raw_.append(text.substr(0, first));
  return text.substr(first);
}

std::string_view QwenParser::consume(std::string_view text) {
  switch (state_) {
    case State::kContent:
      out_.content(text);
      return {};
    case State::kCallOpen:
      text = skip_space(text);
      if (text.empty()) return text;
      if (text.front() != '{') {
        break_call();
      } else {
        json_.emplace();
        state_ = State::kJson;
      }
      return text;
    case State::kJson:
      return consume_json(text);
    case State::kFunctionName:
    case State::kParameterName:
      return consume_name(text);
    case State::kFunction:
      text = skip_space(text);
      if (!text.empty()) break_call();
      return text;
    case State::kValue:
      raw_.append(text);
      if (tail_ != Tail::kNone) return consume_tail(text);
      value_->text(text);
      return {};
    case State::kCallDone:
      text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
      if (!text.empty()) state_ = State::kCallTrailer;
      return text;
    case State::kCallTrailer:
      out_.content(text);
      return {};
  }
  return {};
}

std::string_view QwenParser::consume_json(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    raw_.push_back(text[i]);
    const auto status = json_->feed(text[i], out_);
    if (status == JsonCallReader::Status::kMore) continue;
    if (status == JsonCallReader::Status::kDone) {
      out_.content_boundary();
      raw_.clear();
      state_ = State::kCallDone;
    } else {
      break_call();
    }
    return text.substr(i + 1);
  }
  return {};
}

std::string_view QwenParser::consume_name(std::string_view text) {
  const size_t end = text.find_first_of(">\n");
  const std::string_view part = text.substr(0, end);
  partial_.append(part);
  if (partial_.size() > kMaxNameBytes || (end != std::string_view::npos && text[end] == '\n')) {
    raw_.append(part);
    break_call();
    return text.substr(part.size());
  }
  if (end == std::string_view::npos) {
    raw_.append(text);
    return {};
  }
  raw_.append(text.substr(0, end + 1));
  if (state_ == State::kFunctionName) {
    start_function();
  } else if (trimmed(partial_).empty()) {
    break_call();
  } else {
    start_value(trimmed(partial_));
  }
  return text.substr(end + 1);
}

// raw_ has `text` already.
std::string_view QwenParser::consume_tail(std::string_view text) {
  if (tail_ != Tail::kNextParameter) {
    const size_t first = std::min(text.find_first_not_of(" \t\r\n"), text.size());
    tail_text_.append(text.substr(0, first));
    text.remove_prefix(first);
    if (text.empty()) return {};
    tail_is_text();
    value_->text(text);
    return {};
  }
  const size_t end = text.find_first_of(">\n");
  const std::string_view part = text.substr(0, end);
  partial_.append(part);
  tail_text_.append(part);
  text.remove_prefix(part.size());
  const bool fits = partial_.size() <= kMaxNameBytes;
  if (text.empty() && fits) return {};
  const bool expected = tools_->find(name_, partial_) != nullptr && !arguments_.has(partial_);
  if (text.starts_with('>') && fits && expected) {
    end_value();
    start_value(partial_);
    text.remove_prefix(1);
  } else {
    tail_is_text();
  }
  value_->text(text);
  return {};
}

// --- markers

void QwenParser::body_marker(Marker marker, std::string_view spelling) {
  switch (state_) {
    case State::kContent:
      content_marker(marker, spelling);
      return;
    case State::kCallOpen:
      if (marker != Marker::kFunctionOpen) return break_at(marker, spelling);
      raw_.append(spelling);
      partial_.clear();
      state_ = State::kFunctionName;
      return;
    case State::kJson:
      json_marker(marker, spelling);
      return;
    case State::kFunctionName:
    case State::kParameterName:
      break_at(marker, spelling);
      return;
    case State::kFunction:
      function_marker(marker, spelling);
      return;
    case State::kValue:
      value_marker(marker, spelling);
      return;
    case State::kCallDone:
    case State::kCallTrailer:
      if (marker == Marker::kCallClose) {
        out_.content_boundary();
        state_ = State::kContent;
      } else if (marker == Marker::kFunctionOpen) {  // another function in the same block
        raw_ = spelling;
        partial_.clear();
        state_ = State::kFunctionName;
      } else {
        state_ = State::kContent;
        content_marker(marker, spelling);
      }
  }
}

void QwenParser::content_marker(Marker marker, std::string_view spelling) {
  const bool bare = marker == Marker::kFunctionOpen && calls_offered();
  if (!bare && (marker != Marker::kCallOpen || !parse_calls_)) {
    out_.content(spelling);
    return;
  }
  out_.content_boundary();
  raw_ = spelling;
  bare_ = bare;
  partial_.clear();
  state_ = bare ? State::kFunctionName : State::kCallOpen;
}

void QwenParser::json_marker(Marker marker, std::string_view spelling) {
  // A raw line end inside a string right before </tool_call> is no text: the string was never closed.
  const bool closing = marker == Marker::kCallClose && raw_.ends_with('\n');
  if (json_->in_string() && !closing) {
    consume_json(spelling);
    return;
  }
  if (json_->end(out_) == JsonCallReader::Status::kDone) {
    out_.content_boundary();
    raw_.clear();
    state_ = State::kCallDone;
    body_marker(marker, spelling);
  } else {
    break_at(marker, spelling);
  }
}

void QwenParser::function_marker(Marker marker, std::string_view spelling) {
  switch (marker) {
    case Marker::kParameterOpen:
      raw_.append(spelling);
      partial_.clear();
      state_ = State::kParameterName;
      return;
    case Marker::kFunctionClose:
      finish_function(State::kCallDone);
      return;
    case Marker::kCallClose:
      finish_function(State::kContent);
      return;
    case Marker::kCallOpen:
    case Marker::kFunctionOpen:  // the closing tags are missing
      finish_function(State::kCallDone);
      body_marker(marker, spelling);
      return;
    default:
      break_at(marker, spelling);
  }
}

void QwenParser::value_marker(Marker marker, std::string_view spelling) {
  if (tail_ != Tail::kNone && tail_marker(marker, spelling)) return;
  raw_.append(spelling);
  if (marker == Marker::kParameterClose) {
    end_value();
    return;
  }
  const bool may_end = value_->at_line_start();
  if (may_end && marker == Marker::kFunctionClose) tail_ = Tail::kFunctionClosed;
  if (may_end && marker == Marker::kCallClose) tail_ = Tail::kCallClosed;
  if (may_end && marker == Marker::kParameterOpen && tools_ != nullptr) {
    tail_ = Tail::kNextParameter;
    partial_.clear();
  }
  if (tail_ == Tail::kNone) {
    value_->text(spelling);
  } else {
    tail_text_ = spelling;
  }
}

// True if the marker belongs to the tail; otherwise the tail was text and the marker is read as part of the value.
bool QwenParser::tail_marker(Marker marker, std::string_view spelling) {
  if (tail_ == Tail::kFunctionClosed && marker == Marker::kCallClose) {
    raw_.append(spelling);
    tail_text_.append(spelling);
    tail_ = Tail::kCallClosed;
    return true;
  }
  if (tail_ != Tail::kNextParameter && marker == Marker::kCallOpen) {
    end_value();
    finish_function(State::kContent);
    content_marker(marker, spelling);
    return true;
  }
  tail_is_text();
  return false;
}

void QwenParser::body_end(Ending ending) {
  const bool stopped = ending == Ending::kStopped;
  switch (state_) {
    case State::kJson:
      if (json_->end(out_) != JsonCallReader::Status::kDone) break;
      raw_.clear();
      out_.content_boundary();
      state_ = State::kContent;
      return;
    case State::kFunction:
      if (stopped) finish_function(State::kContent);
      break;
    case State::kValue:
      if (tail_ == Tail::kCallClosed || (tail_ == Tail::kFunctionClosed && stopped)) {
        end_value();
        finish_function(State::kContent);
      }
      break;
    default:
      break;
  }
  if (!raw_.empty()) break_call();
  state_ = State::kContent;
}

}  // namespace mach
