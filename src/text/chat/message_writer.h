// The outgoing side shared by all parsers: reports events to the sink and builds the ParsedMessage of the same events.
// Adjacent texts of one kind are joined within one flush, so a token makes few events. Line ends that set markers apart
// are dropped: those around a reasoning block and around calls (kept where content continues after a call).
// Single-owner.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "text/chat/output_parser.h"

namespace mach {

class MessageWriter {
 public:
  explicit MessageWriter(CallIdGenerator new_call_id);

  // Where events go from now on; flush() before the sink goes away.
  void attach(EventSink& sink) { sink_ = &sink; }
  void flush();

  void content(std::string_view text) { write(OutputEvent::Kind::kContent, content_, text); }
  void reasoning(std::string_view text) { write(OutputEvent::Kind::kReasoning, reasoning_, text); }
  // A marker stands here, so line ends on both sides are not text. new_message: text from here on is set apart by a
  // line end from text before.
  void content_boundary(bool new_message = false) { content_.boundary(new_message); }
  void open_reasoning();
  void close_reasoning();

  // One call at a time: start, arguments that concatenate to an object, then finish or abandon.
  void start_call(std::string_view name);
  void arguments(std::string_view json) { emit(OutputEvent::Kind::kCallArguments, json); }
  void finish_call() { end_call(OutputEvent::Kind::kCallFinished); }
  void abandon_call() { end_call(OutputEvent::Kind::kCallAbandoned); }
  bool call_open() const { return call_open_; }

  bool has_content() const { return content_.any; }
  bool has_reasoning() const { return reasoning_.any; }
  size_t calls_started() const { return calls_started_; }

  ParsedMessage end(Ending ending);  // flushes

 private:
  // Text of one kind. Line ends at its end are held: they are text only if more text follows.
  struct Lane {
    std::string held;
    bool any = false;           // something was written
    bool after_marker = false;  // a marker stands after what was written
    bool skip_line_ends = false;

    void boundary(bool new_message);
  };

  void write(OutputEvent::Kind kind, Lane& lane, std::string_view text);
  void emit(OutputEvent::Kind kind, std::string_view text);
  void end_call(OutputEvent::Kind kind);

  CallIdGenerator new_call_id_;
  EventSink* sink_ = nullptr;
  Lane content_, reasoning_;
  ParsedMessage message_;
  ToolCall call_;
  size_t calls_started_ = 0;
  bool call_open_ = false;
  OutputEvent::Kind pending_kind_ = OutputEvent::Kind::kContent;
  std::string pending_;
};

}  // namespace mach
