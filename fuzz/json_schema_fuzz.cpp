// Any JSON as a JSON Schema: refused with a line that names the place, or compiled and walked along.
#include <cstdint>
#include <string_view>

#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "grammar_common.h"
#include "io/json.h"
#include "text/grammar/json_schema.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 4096) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto schema = mach::parse_ordered_json(text, "schema", {.error = mach::ErrorCode::kInvalidRequest});
    mach::fuzz::walk(mach::grammar::json_schema_grammar(schema, "schema"), static_cast<uint32_t>(size), 40);
  } catch (const mach::Error& error) {
    if (error.code() == mach::ErrorCode::kInternal) __builtin_trap();
  }
  return 0;
}
