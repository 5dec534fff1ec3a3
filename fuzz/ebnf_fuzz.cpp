// Any bytes as an EBNF grammar: refused with a line that begins with "grammar:", or compiled and walked along.
#include <cstdint>
#include <string_view>

#include "mach/error.h"

#include "grammar_common.h"
#include "text/grammar/ebnf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 2048) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    mach::fuzz::walk(mach::grammar::parse_ebnf(text), static_cast<uint32_t>(size), 20);
  } catch (const mach::Error& error) {
    if (!std::string_view(error.what()).starts_with("grammar:")) __builtin_trap();
  }
  return 0;
}
