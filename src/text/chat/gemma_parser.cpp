#include "text/chat/gemma_parser.h"

#include <utility>

#include "text/chat/json_text.h"

namespace mach {

namespace {

constexpr std::string_view kThought = "thought";
constexpr std::string_view kCall = "call:";
constexpr size_t kMaxNameBytes = 256;  // of a channel or a call; longer ones are text, or break the call

}  // namespace

GemmaParser::GemmaParser(std::span<const MarkerRow> markers, const ParserOptions& options)
    : MarkerParser(markers, options) {
  if (!options.starts_in_reasoning) return;
  out_.open_reasoning();
  state_ = State::kReasoning;
}

void GemmaParser::break_call() {
  break_block();
  state_ = State::kContent;
}

void GemmaParser::end_channel_name() {
  if (name_ != kThought) out_.reasoning(name_);
  name_.clear();
  state_ = State::kReasoning;
}

void GemmaParser::close_channel() {
  out_.close_reasoning();
  state_ = State::kContent;
}

// --- text

void GemmaParser::read_text(std::string_view text) {
  while (!text.empty()) text = consume(text);
}

std::string_view GemmaParser::consume(std::string_view text) {
  switch (state_) {
    case State::kContent:
      out_.content(text);
      return {};
    case State::kChannelName:
      return consume_channel_name(text);
    case State::kReasoning:
      out_.reasoning(text);
      return {};
    case State::kCallName:
      return consume_call_name(text);
    case State::kArguments:
      return consume_arguments(text);
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

std::string_view GemmaParser::consume_channel_name(std::string_view text) {
  const size_t end = text.find('\n');
  name_.append(text.substr(0, end));
  if (end != std::string_view::npos || name_.size() > kMaxNameBytes) end_channel_name();
  return end != std::string_view::npos ? text.substr(end) : std::string_view{};
}

std::string_view GemmaParser::consume_call_name(std::string_view text) {
  const size_t end = text.find_first_of("{\n");
  name_.append(text.substr(0, end));
  raw_.append(text.substr(0, end));
  const bool fits = name_.size() <= kMaxNameBytes;
  if (end == std::string_view::npos && fits) return {};
  std::string_view name = trimmed(name_);
  const bool is_call = fits && text[end] == '{' && name.starts_with(kCall);
  name = trimmed(name.substr(name.find_last_of(':') + 1));
  if (!is_call || name.empty() || name.find(' ') != std::string_view::npos) {
    break_call();
  } else {
    out_.start_call(name);
    arguments_.emplace(out_);
    state_ = State::kArguments;
  }
  return end != std::string_view::npos ? text.substr(end) : std::string_view{};
}

std::string_view GemmaParser::consume_arguments(std::string_view text) {
  if (arguments_->in_string()) {
    raw_.append(text);
    arguments_->string_text(text);
    return {};
  }
  for (size_t i = 0; i < text.size(); ++i) {
    const auto status = arguments_->feed(text[i]);
    if (status == GemmaArguments::Status::kMore) continue;
    raw_.append(text.substr(0, i + 1));
    if (status == GemmaArguments::Status::kBroken) {
      break_call();
    } else {
      out_.finish_call();
      out_.content_boundary();
      raw_.clear();
      state_ = State::kCallDone;
    }
    return text.substr(i + 1);
  }
  raw_.append(text);
  return {};
}

// --- markers

void GemmaParser::content_marker(Marker marker, std::string_view spelling) {
  if (marker == Marker::kThinkOpen) {
    out_.content_boundary();
    out_.open_reasoning();
    name_.clear();
    state_ = State::kChannelName;
  } else if (marker == Marker::kCallOpen && parse_calls_) {
    out_.content_boundary();
    raw_ = spelling;
    name_.clear();
    state_ = State::kCallName;
  } else {
    out_.content(spelling);
  }
}

void GemmaParser::read_marker(Marker marker, std::string_view spelling) {
  switch (state_) {
    case State::kChannelName:
      end_channel_name();
      [[fallthrough]];
    case State::kReasoning:
      if (marker == Marker::kThinkClose) {
        close_channel();
      } else {
        out_.reasoning(spelling);
      }
      return;
    case State::kArguments:
      if (marker == Marker::kStringDelimiter) {
        raw_.append(spelling);
        if (arguments_->delimiter() == GemmaArguments::Status::kBroken) break_call();
        return;
      }
      if (arguments_->in_string()) {
        consume_arguments(spelling);
        return;
      }
      [[fallthrough]];
    case State::kCallName:
      break_call();
      break;
    case State::kCallDone:
    case State::kCallTrailer:
      state_ = State::kContent;
      if (marker == Marker::kCallClose) {
        out_.content_boundary();
        return;
      }
      break;
    case State::kContent:
      break;
  }
  content_marker(marker, spelling);
}

void GemmaParser::read_end(Ending) {
  if (state_ == State::kChannelName && !kThought.starts_with(name_)) end_channel_name();
  if (state_ == State::kCallName || state_ == State::kArguments) break_call();
  state_ = State::kContent;
}

}  // namespace mach
