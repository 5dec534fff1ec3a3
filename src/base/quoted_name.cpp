#include "base/quoted_name.h"

#include <algorithm>

#include "base/utf8.h"

namespace mach {

std::string printable(std::string_view text, size_t max_bytes) {
  const bool cut = text.size() > max_bytes;
  if (cut) text = text.substr(0, complete_utf8_prefix(text.substr(0, max_bytes)));
  std::string shown = replace_invalid_utf8(text);
  std::replace_if(
      shown.begin(), shown.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  if (cut) shown += "...";
  return shown;
}

std::string quoted_name(std::string_view name, size_t max_bytes) {
  return "\"" + printable(name, max_bytes) + "\"";
}

}  // namespace mach
