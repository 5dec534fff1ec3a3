#include "text/chat/xml_value.h"

#include "text/chat/json_text.h"

namespace mach {

void XmlValue::text(std::string_view piece) {
  if (piece.empty()) return;
  if (after_tag_ && piece.front() == '\n') piece.remove_prefix(1);
  after_tag_ = false;
  if (piece.empty()) return;
  empty_ = false;
  if (held_line_end_) body("\n");
  held_line_end_ = piece.back() == '\n';
  if (held_line_end_) piece.remove_suffix(1);
  if (!piece.empty()) body(piece);
}

void XmlValue::body(std::string_view piece) {
  if (streaming_) {
    arguments_.text(piece);
    return;
  }
  buffer_.append(piece);
  if (type_.kind != ArgumentKind::kText) return;
  constexpr std::string_view kNull = "null";
  if (equals_ignoring_case(buffer_, kNull.substr(0, buffer_.size()))) return;
  streaming_ = true;
  arguments_.begin_text();
  arguments_.text(buffer_);
  buffer_.clear();
}

void XmlValue::end() {
  if (streaming_) {
    arguments_.end_text();
  } else {
    arguments_.value(argument_json(type_, buffer_));
  }
}

}  // namespace mach
