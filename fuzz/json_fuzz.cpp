// The limited JSON reader, both kinds of value: accepted text comes back unchanged through dump and parse.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "io/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  mach::JsonLimits limits;
  limits.max_values = 100'000;
  try {
    const nlohmann::ordered_json value = mach::parse_ordered_json(text, "fuzz", limits);
    if (mach::parse_ordered_json(value.dump(), "again", limits) != value) __builtin_trap();
    if (mach::parse_json(text, "fuzz", limits).size() != value.size()) __builtin_trap();
  } catch (const mach::Error& error) {
    if (nlohmann::json(error.what()).dump().empty()) __builtin_trap();  // throws where the text is not UTF-8
  }
  return 0;
}
