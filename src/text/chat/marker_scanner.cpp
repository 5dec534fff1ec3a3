#include "text/chat/marker_scanner.h"

#include "base/utf8.h"

namespace mach {

MarkerScanner::MarkerScanner(std::span<const MarkerRow> rows, const MarkerLookup& marker_id) {
  for (const MarkerRow& row : rows) {
    const int32_t id = row.match == MarkerMatch::kToken && marker_id ? marker_id(row.text) : -1;
    if (id >= 0) {
      by_id_.emplace_back(id, &row);
    } else {
      by_text_.push_back(&row);
    }
  }
}

void MarkerScanner::append(std::string_view bytes) {
  std::string joined;
  if (!partial_.empty()) {
    joined = partial_.append(bytes);
    bytes = joined;
  }
  const std::string_view whole = bytes.substr(0, complete_utf8_prefix(bytes));
  if (is_valid_utf8(whole)) {
    buffer_.append(whole);
  } else {
    buffer_.append(replace_invalid_utf8(whole));
  }
  partial_ = bytes.substr(whole.size());
}

void MarkerScanner::emit_text(size_t begin, size_t end, Handler& handler) {
  if (begin < end) handler.on_text(std::string_view(buffer_).substr(begin, end - begin));
}

void MarkerScanner::scan(bool final, Handler& handler) {
  size_t start = 0;  // of the text not yet handed on
  size_t pos = 0;
  while (!by_text_.empty() && (pos = buffer_.find('<', pos)) != std::string::npos) {
    const std::string_view rest = std::string_view(buffer_).substr(pos);
    const MarkerRow* found = nullptr;
    bool may_grow = false;
    for (const MarkerRow* row : by_text_) {
      if (rest.starts_with(row->text)) found = row;
      if (row->text.size() > rest.size() && row->text.starts_with(rest)) may_grow = true;
    }
    if (found != nullptr) {
      emit_text(start, pos, handler);
      handler.on_marker(found->marker, found->text);
      pos += found->text.size();
      start = pos;
    } else if (may_grow && !final) {
      emit_text(start, pos, handler);
      buffer_.erase(0, pos);
      return;
    } else {
      ++pos;
    }
  }
  emit_text(start, buffer_.size(), handler);
  buffer_.clear();
}

void MarkerScanner::push(TokenPiece piece, Handler& handler) {
  if (piece.id >= 0) {
    for (const auto& [id, row] : by_id_) {
      if (id != piece.id) continue;
      flush(handler);
      handler.on_marker(row->marker, row->text);
      return;
    }
  }
  append(piece.text);
  if (!buffer_.empty()) scan(false, handler);
}

void MarkerScanner::flush(Handler& handler) {
  if (!partial_.empty()) append_utf8(buffer_, kReplacementCharacter);
  partial_.clear();
  scan(true, handler);
}

}  // namespace mach
