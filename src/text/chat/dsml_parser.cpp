#include "text/chat/dsml_parser.h"

#include <utility>

#include "text/chat/json_scanner.h"
#include "text/chat/json_text.h"
#include "text/chat/tool_schemas.h"

namespace mach {

namespace {

constexpr size_t kMaxTagBytes = 512;  // of attributes; more breaks the call

// The value of an attribute in ` name="f" string="true"`; empty if it is missing or not closed.
std::string attribute(std::string_view tag, std::string_view name) {
  const std::string opening = " " + std::string(name) + "=\"";
  const size_t at = tag.find(opening);
  if (at == std::string_view::npos) return {};
  const std::string_view value = tag.substr(at + opening.size());
  return std::string(value.substr(0, value.find('"')));
}

}  // namespace

DsmlParser::DsmlParser(std::span<const MarkerRow> markers, const ParserOptions& options)
    : ThinkParser(markers, options, false) {}

void DsmlParser::break_call() {
  break_block();
  state_ = State::kContent;
}

void DsmlParser::begin_tag(State state, std::string_view spelling) {
  raw_.append(spelling);
  tag_.clear();
  in_quotes_ = false;
  state_ = state;
}

void DsmlParser::start_invoke() {
  function_ = attribute(tag_, "name");
  if (function_.empty() || (bare_ && !tools_->has_tool(function_))) return break_call();
  out_.start_call(function_);
  arguments_.open();
  state_ = State::kInvoke;
}

void DsmlParser::start_parameter() {
  parameter_ = attribute(tag_, "name");
  if (parameter_.empty()) return break_call();
  value_string_ = attribute(tag_, "string");
  const ArgumentType* type = tools_ != nullptr ? tools_->find(function_, parameter_) : nullptr;
  const bool declared_text = type == nullptr || type->kind == ArgumentKind::kText;
  text_value_ = value_string_ == "true" || (value_string_ != "false" && declared_text);
  arguments_.key(parameter_);
  if (text_value_) arguments_.begin_text();
  state_ = State::kValue;
}

void DsmlParser::end_value() {
  const std::string value = std::exchange(value_, {});
  if (text_value_) {
    arguments_.end_text();
  } else if (value_string_ != "false") {
    arguments_.value(argument_json(*tools_->find(function_, parameter_), value));
  } else {
    arguments_.value(json_kind(value) ? std::string(trimmed(value)) : json_quoted(value));
  }
  state_ = State::kInvoke;
}

void DsmlParser::finish_invoke() {
  arguments_.close();
  out_.finish_call();
  out_.content_boundary();
  raw_.clear();
  state_ = State::kBlock;
}

// --- text

void DsmlParser::body_text(std::string_view text) {
  while (!text.empty()) text = consume(text);
}

std::string_view DsmlParser::consume(std::string_view text) {
  switch (state_) {
    case State::kContent:
      out_.content(text);
      return {};
    case State::kBlock:
    case State::kInvoke: {
      const size_t first = std::min(text.find_first_not_of(" \t\r\n"), text.size());
      if (!raw_.empty()) raw_.append(text.substr(0, first));
      text.remove_prefix(first);
      if (!text.empty()) break_call();
      return text;
    }
    case State::kInvokeTag:
    case State::kParameterTag:
      return consume_tag(text);
    case State::kValue:
      raw_.append(text);
      if (text_value_) {
        arguments_.text(text);
      } else {
        value_.append(text);
      }
      return {};
  }
  return {};
}

std::string_view DsmlParser::consume_tag(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    raw_.push_back(text[i]);
    if (text[i] == '>' && !in_quotes_) {
      if (state_ == State::kInvokeTag) {
        start_invoke();
      } else {
        start_parameter();
      }
      return text.substr(i + 1);
    }
    if (text[i] == '"') in_quotes_ = !in_quotes_;
    tag_.push_back(text[i]);
    if (tag_.size() > kMaxTagBytes || text[i] == '\n') {
      break_call();
      return text.substr(i + 1);
    }
  }
  return {};
}

// --- markers

void DsmlParser::body_marker(Marker marker, std::string_view spelling) {
  switch (state_) {
    case State::kContent:
      content_marker(marker, spelling);
      return;
    case State::kBlock:
      block_marker(marker, spelling);
      return;
    case State::kInvoke:
      invoke_marker(marker, spelling);
      return;
    case State::kInvokeTag:
    case State::kParameterTag:
      break_call();
      content_marker(marker, spelling);
      return;
    case State::kValue:
      if (marker != Marker::kParameterClose) {
        consume(spelling);
        return;
      }
      raw_.append(spelling);
      end_value();
  }
}

void DsmlParser::content_marker(Marker marker, std::string_view spelling) {
  const bool bare = marker == Marker::kFunctionOpen && calls_offered();
  if (!bare && (marker != Marker::kCallOpen || !parse_calls_)) {
    out_.content(spelling);
    return;
  }
  out_.content_boundary();
  raw_.clear();
  bare_ = bare;
  if (bare) {
    begin_tag(State::kInvokeTag, spelling);
  } else {
    raw_ = spelling;
    state_ = State::kBlock;
  }
}

void DsmlParser::block_marker(Marker marker, std::string_view spelling) {
  if (marker == Marker::kFunctionOpen) {
    begin_tag(State::kInvokeTag, spelling);
  } else if (marker == Marker::kCallClose && raw_.empty()) {
    out_.content_boundary();
    state_ = State::kContent;
  } else {  // an empty block, or a tag that has no place here
    break_call();
    content_marker(marker, spelling);
  }
}

void DsmlParser::invoke_marker(Marker marker, std::string_view spelling) {
  switch (marker) {
    case Marker::kParameterOpen:
      begin_tag(State::kParameterTag, spelling);
      return;
    case Marker::kFunctionClose:
      finish_invoke();
      return;
    case Marker::kCallClose:
    case Marker::kFunctionOpen:  // the closing tag is missing
      finish_invoke();
      block_marker(marker, spelling);
      return;
    default:
      break_call();
      content_marker(marker, spelling);
  }
}

void DsmlParser::body_end(Ending ending) {
  if (state_ == State::kInvoke && ending == Ending::kStopped) finish_invoke();
  if (state_ != State::kContent) break_call();
  state_ = State::kContent;
}

}  // namespace mach
