// What all output parsers have in common: tokens become text and markers (MarkerScanner), a state machine reads those,
// and a MessageWriter reports. ThinkParser adds a <think> region in front of, and invisible to, the format's own states.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "text/chat/marker_scanner.h"
#include "text/chat/message_writer.h"
#include "text/chat/output_parser.h"

namespace mach {

class MarkerParser : public OutputParser, private MarkerScanner::Handler {
 public:
  MarkerParser(std::span<const MarkerRow> markers, const ParserOptions& options);

  void push(TokenPiece piece, EventSink& sink) final;
  ParsedMessage finish(Ending ending, EventSink& sink) final;

 protected:
  virtual void read_text(std::string_view text) = 0;
  virtual void read_marker(Marker marker, std::string_view spelling) = 0;  // never kStop
  // No more input, or a stop marker: decide about what is open and leave the parser ready for content.
  virtual void read_end(Ending ending) = 0;

  // Gives up the block recorded in raw_: an open call is abandoned and the text becomes content.
  void break_block();
  bool calls_offered() const;  // the request declares tools

  MessageWriter out_;
  std::string raw_;  // the text of the block being read, from its first marker on
  const ToolSchemas* tools_;
  const bool parse_calls_;

 private:
  void on_text(std::string_view text) final { read_text(text); }
  void on_marker(Marker marker, std::string_view spelling) final;

  MarkerScanner scanner_;
  bool stopped_ = false;
};

class ThinkParser : public MarkerParser {
 public:
  // reopens: a <think> after </think>, before any content, begins reasoning again (else it is content).
  ThinkParser(std::span<const MarkerRow> markers, const ParserOptions& options, bool reopens);

 protected:
  // As above, for everything outside the reasoning.
  virtual void body_text(std::string_view text) = 0;
  virtual void body_marker(Marker marker, std::string_view spelling) = 0;
  virtual void body_end(Ending ending) = 0;
  virtual bool at_content() const = 0;  // not inside a call

 private:
  void read_text(std::string_view text) final;
  void read_marker(Marker marker, std::string_view spelling) final;
  void read_end(Ending ending) final;

  const bool reopens_;
  bool in_reasoning_;
  bool closed_ = false;
};

}  // namespace mach
