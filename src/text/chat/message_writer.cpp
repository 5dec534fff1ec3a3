#include "text/chat/message_writer.h"

namespace mach {

using Kind = OutputEvent::Kind;

MessageWriter::MessageWriter(CallIdGenerator new_call_id)
    : new_call_id_(new_call_id ? std::move(new_call_id) : random_call_ids(0)) {}

void MessageWriter::Lane::boundary(bool new_message) {
  if (!any) {
    held.clear();
    skip_line_ends = true;
    return;
  }
  after_marker = true;
  if (new_message && held.empty()) held = "\n";
}

void MessageWriter::flush() {
  if (pending_.empty()) return;
  sink_->on_event({pending_kind_, call_open_ ? calls_started_ - 1 : 0, {}, pending_});
  pending_.clear();
}

void MessageWriter::emit(Kind kind, std::string_view text) {
  if (kind != pending_kind_) {
    flush();
    pending_kind_ = kind;
  }
  pending_.append(text);
  switch (kind) {
    case Kind::kContent:
      message_.content.append(text);
      break;
    case Kind::kReasoning:
      message_.reasoning.append(text);
      break;
    default:
      call_.arguments.append(text);
  }
}

void MessageWriter::write(Kind kind, Lane& lane, std::string_view text) {
  if (lane.skip_line_ends) {
    const size_t first = text.find_first_not_of('\n');
    if (first == std::string_view::npos) return;
    text.remove_prefix(first);
    lane.skip_line_ends = false;
  }
  const size_t end = text.find_last_not_of('\n') + 1;  // npos + 1 == 0
  if (end == 0) {
    lane.held.append(text);
    return;
  }
  if (!lane.held.empty()) emit(kind, lane.held);
  emit(kind, text.substr(0, end));
  lane.held = text.substr(end);
  lane.any = true;
  lane.after_marker = false;
}

void MessageWriter::open_reasoning() {
  reasoning_.boundary(true);
  reasoning_.skip_line_ends = true;
}

void MessageWriter::close_reasoning() {
  reasoning_.after_marker = true;
  content_.boundary(false);
}

void MessageWriter::start_call(std::string_view name) {
  flush();
  call_ = ToolCall{new_call_id_(), std::string(name), ""};
  call_open_ = true;
  sink_->on_event({Kind::kCallStarted, calls_started_++, call_.id, call_.name});
}

void MessageWriter::end_call(Kind kind) {
  flush();
  call_open_ = false;
  sink_->on_event({kind, calls_started_ - 1, {}, {}});
  if (kind == Kind::kCallFinished) message_.tool_calls.push_back(std::move(call_));
}

ParsedMessage MessageWriter::end(Ending ending) {
  if (!reasoning_.after_marker) emit(Kind::kReasoning, reasoning_.held);
  if (!content_.after_marker) emit(Kind::kContent, content_.held);
  flush();
  message_.finish = ending == Ending::kCutOff     ? FinishHint::kLength
                    : message_.tool_calls.empty() ? FinishHint::kStop
                                                  : FinishHint::kToolCalls;
  return std::move(message_);
}

}  // namespace mach
