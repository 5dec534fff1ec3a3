#include "text/chat/utf8_stream.h"

namespace mach {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

// Lead bytes and the bounds of the byte after them: Unicode 15, table 3-7.
void Utf8Stream::begin(char c, std::string& out) {
  const auto byte = static_cast<uint8_t>(c);
  low_ = 0x80;
  high_ = 0xBF;
  if (byte < 0x80) {
    out.push_back(c);
    return;
  }
  if (byte >= 0xC2 && byte <= 0xDF) {
    wanted_ = 2;
  } else if (byte >= 0xE0 && byte <= 0xEF) {
    wanted_ = 3;
    if (byte == 0xE0) low_ = 0xA0;
    if (byte == 0xED) high_ = 0x9F;
  } else if (byte >= 0xF0 && byte <= 0xF4) {
    wanted_ = 4;
    if (byte == 0xF0) low_ = 0x90;
    if (byte == 0xF4) high_ = 0x8F;
  } else {
    out.append(kReplacement);
    return;
  }
  partial_.push_back(c);
}

void Utf8Stream::push(std::string_view bytes, std::string& out) {
  for (const char c : bytes) {
    if (partial_.empty()) {
      begin(c, out);
      continue;
    }
    const auto byte = static_cast<uint8_t>(c);
    if (byte < low_ || byte > high_) {
      flush(out);
      begin(c, out);
      continue;
    }
    partial_.push_back(c);
    low_ = 0x80;
    high_ = 0xBF;
    if (partial_.size() == wanted_) {
      out.append(partial_);
      partial_.clear();
    }
  }
}

void Utf8Stream::flush(std::string& out) {
  if (!partial_.empty()) out.append(kReplacement);
  partial_.clear();
}

}  // namespace mach
