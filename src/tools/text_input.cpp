#include "tools/text_input.h"

#include <array>
#include <iostream>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/file.h"
#include "base/utf8.h"

namespace mach::tools {
std::string read_standard_input() {
  std::string text;
  std::array<char, 65536> buffer;
  while (std::cin.read(buffer.data(), buffer.size()) || std::cin.gcount() > 0) {
    text.append(buffer.data(), static_cast<size_t>(std::cin.gcount()));
    if (text.size() <= kMaxTextInputBytes) continue;
    throw Error(ErrorCode::kTooLarge,
                fmt::format("standard input: more than {} bytes of text", kMaxTextInputBytes));
  }
  if (std::cin.bad()) throw Error(ErrorCode::kIo, "standard input: cannot be read");
  return text;
}

std::string checked_text(std::string_view field, std::string text) {
  const size_t bad = find_invalid_utf8(text);
  if (bad == text.size()) return text;
  throw Error(ErrorCode::kInvalidRequest, fmt::format("{}: byte {} (0x{:02x}) is not valid UTF-8", field, bad,
                                                      static_cast<unsigned char>(text[bad])));
}

std::string text_argument(std::string_view field, const std::string& argument) {
  return checked_text(field, argument == "-" ? read_standard_input() : argument);
}

std::string text_file(std::string_view field, const std::filesystem::path& path) {
  return checked_text(fmt::format("{} {}", field, path.string()), read_text_file(path, kMaxTextInputBytes));
}

}  // namespace mach::tools
