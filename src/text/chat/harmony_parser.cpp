#include "text/chat/harmony_parser.h"

#include <utility>

#include "text/chat/json_text.h"

namespace mach {

namespace {

constexpr std::string_view kStart = "<|start|>";
constexpr std::string_view kChannel = "<|channel|>";
constexpr std::string_view kConstrain = "<|constrain|>";
constexpr std::string_view kMessage = "<|message|>";
constexpr std::string_view kRecipient = "to=";
constexpr std::string_view kFunctions = "functions.";
constexpr std::string_view kSpaces = " \t\r\n";
constexpr std::string_view kWordBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/";
constexpr size_t kMaxHeaderBytes = 1024;  // a longer one is no header

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::optional<HarmonyHeader> read_harmony_header(std::string_view header) {
  HarmonyHeader result;
  take(header, kStart);
  bool in_channel = false;
  size_t words_left = 1;
  for (;;) {
    header.remove_prefix(std::min(header.find_first_not_of(kSpaces), header.size()));
    if (header.empty()) return result;
    if (!in_channel && take(header, kChannel)) {
      in_channel = true;
      words_left = 2;
      continue;
    }
    if (take(header, kConstrain)) {
      words_left = 1;
      continue;
    }
    const bool recipient = result.recipient.empty() && take(header, kRecipient);
    const std::string_view word = header.substr(0, header.find_first_not_of(kWordBytes));
    header.remove_prefix(word.size());
    if (word.empty() || (!recipient && words_left == 0)) return std::nullopt;
    if (recipient) {
      result.recipient = word;
    } else {
      if (in_channel && words_left == 2) result.channel = word;
      --words_left;
    }
  }
}

HarmonyParser::HarmonyParser(std::span<const MarkerRow> markers, const ParserOptions& options)
    : MarkerParser(markers, options) {
  if (!options.starts_in_reasoning) return;
  out_.open_reasoning();
  state_ = State::kReasoning;
}

void HarmonyParser::begin_header(std::string_view spelling) {
  end_body();
  header_ = spelling;
  from_prompt_ = false;
  state_ = State::kHeader;
}

void HarmonyParser::begin_content() {
  out_.content_boundary(true);
  state_ = State::kContent;
}

void HarmonyParser::header_text(std::string_view text) {
  header_.append(text);
  const std::string_view begun = trimmed(header_);
  const bool no_header = from_prompt_ && !begun.empty() && begun.front() != '<' &&
                         !begun.starts_with(kRecipient.substr(0, begun.size()));
  if (!no_header && header_.size() <= kMaxHeaderBytes) return;
  begin_content();
  out_.content(std::exchange(header_, {}));
}

void HarmonyParser::begin_body() {
  const auto header = read_harmony_header(header_);
  const bool is_call = header && !header->recipient.empty() && header->recipient != "assistant";
  if (!header || (is_call && !parse_calls_)) {
    begin_content();
    out_.content(std::exchange(header_, {}).append(kMessage));
    return;
  }
  if (is_call) {
    std::string_view name = header->recipient;
    if (name.size() > kFunctions.size()) take(name, kFunctions);
    out_.content_boundary();
    out_.start_call(name);
    raw_ = std::exchange(header_, {}).append(kMessage);
    json_.emplace();
    state_ = State::kCall;
    return;
  }
  if (header->channel == "analysis") {
    out_.open_reasoning();
    state_ = State::kReasoning;
  } else {
    begin_content();
  }
  header_.clear();
}

std::string_view HarmonyParser::call_text(std::string_view text) {
  std::string accepted;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool inside = json_->depth() > 0;
    const JsonByte role = json_->feed(text[i]);
    if (role == JsonByte::kInvalid || (!inside && role != JsonByte::kSpace && text[i] != '{')) {
      out_.arguments(accepted);
      raw_.append(text.substr(0, i));
      break_call();
      return text.substr(i);
    }
    if (inside || role != JsonByte::kSpace) append_json_byte(accepted, text[i], role);
    if (!json_->complete()) continue;
    out_.arguments(accepted);
    finish_call();
    return text.substr(i + 1);
  }
  out_.arguments(accepted);
  raw_.append(text);
  return {};
}

void HarmonyParser::finish_call() {
  out_.finish_call();
  raw_.clear();
  state_ = State::kCallDone;
}

void HarmonyParser::read_text(std::string_view text) {
  switch (state_) {
    case State::kHeader:
      header_text(text);
      return;
    case State::kCall:
      text = call_text(text);
      if (!text.empty()) read_text(text);
      return;
    case State::kReasoning:
      out_.reasoning(text);
      return;
    case State::kCallDone:
    case State::kBetween:
      text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
      if (text.empty()) return;
      begin_content();
      [[fallthrough]];
    case State::kContent:
      out_.content(text);
  }
}

void HarmonyParser::read_marker(Marker marker, std::string_view spelling) {
  switch (marker) {
    case Marker::kMessageStart:
      begin_header(spelling);
      return;
    case Marker::kMessageEnd:
      end_body();
      state_ = State::kBetween;
      return;
    case Marker::kChannel:
      if (state_ == State::kHeader) {
        header_.append(spelling);
      } else {
        begin_header(spelling);
      }
      return;
    case Marker::kMessageBody:
      if (state_ == State::kHeader) return begin_body();
      break;
    case Marker::kConstrain:
      if (state_ == State::kHeader) {
        header_.append(spelling);
        return;
      }
      break;
    default:
      break;
  }
  if (state_ == State::kHeader) {
    header_.append(spelling);
  } else {
    read_text(spelling);
  }
}

void HarmonyParser::break_call() {
  begin_content();
  break_block();
}

// Whatever was open ends here.
void HarmonyParser::end_body() {
  if (state_ == State::kCall && json_->depth() == 0) {
    out_.arguments("{}");  // an empty body; anything but spaces has finished or broken the call
    finish_call();
  } else if (state_ == State::kCall) {
    break_call();
  } else if (state_ == State::kReasoning) {
    out_.close_reasoning();
  } else if (state_ == State::kHeader) {
    const bool plain = from_prompt_ && header_.find('<') == std::string::npos && !trimmed(header_).empty();
    if (plain || !read_harmony_header(header_)) {
      begin_content();
      out_.content(header_);
    }
  }
  header_.clear();
}

void HarmonyParser::read_end(Ending) {
  if (state_ != State::kReasoning) end_body();
  state_ = State::kBetween;
}

}  // namespace mach
