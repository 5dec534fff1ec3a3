#include "text/chat/marker_parser.h"

#include "text/chat/tool_schemas.h"

namespace mach {

MarkerParser::MarkerParser(std::span<const MarkerRow> markers, const ParserOptions& options)
    : out_(options.new_call_id),
      tools_(options.tools),
      parse_calls_(options.parse_calls),
      scanner_(markers, options.marker_id) {}

void MarkerParser::push(TokenPiece piece, EventSink& sink) {
  out_.attach(sink);
  scanner_.push(piece, *this);
  out_.flush();
}

ParsedMessage MarkerParser::finish(Ending ending, EventSink& sink) {
  out_.attach(sink);
  scanner_.flush(*this);
  if (stopped_) ending = Ending::kStopped;
  read_end(ending);
  return out_.end(ending);
}

void MarkerParser::on_marker(Marker marker, std::string_view spelling) {
  if (marker == Marker::kStop) {
    stopped_ = true;
    read_end(Ending::kStopped);
  } else {
    read_marker(marker, spelling);
  }
}

void MarkerParser::break_block() {
  if (out_.call_open()) out_.abandon_call();
  out_.content(raw_);
  raw_.clear();
}

bool MarkerParser::calls_offered() const { return parse_calls_ && tools_ != nullptr && !tools_->empty(); }

ThinkParser::ThinkParser(std::span<const MarkerRow> markers, const ParserOptions& options, bool reopens)
    : MarkerParser(markers, options), reopens_(reopens), in_reasoning_(options.starts_in_reasoning) {
  if (in_reasoning_) out_.open_reasoning();
}

void ThinkParser::read_text(std::string_view text) {
  if (in_reasoning_) {
    out_.reasoning(text);
  } else {
    body_text(text);
  }
}

void ThinkParser::read_marker(Marker marker, std::string_view spelling) {
  if (in_reasoning_) {
    if (marker == Marker::kThinkClose) {
      in_reasoning_ = false;
      closed_ = true;
      out_.close_reasoning();
    } else if (marker != Marker::kThinkOpen ||
               out_.has_reasoning()) {  // the prompt's own tag may be repeated
      out_.reasoning(spelling);
    }
    return;
  }
  const bool at_start = at_content() && !out_.has_content() && out_.calls_started() == 0;
  if (marker == Marker::kThinkOpen && at_start && (reopens_ || !closed_)) {
    in_reasoning_ = true;
    out_.open_reasoning();
  } else if (marker == Marker::kThinkClose && at_start) {
    closed_ = true;  // closes nothing, but belongs to no text either
    out_.content_boundary();
  } else {
    body_marker(marker, spelling);
  }
}

void ThinkParser::read_end(Ending ending) {
  if (!in_reasoning_) body_end(ending);
  in_reasoning_ = false;
}

}  // namespace mach
