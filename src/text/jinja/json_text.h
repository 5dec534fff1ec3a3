// JSON and values: what `tojson` writes (json.dumps as Hugging Face configures it) and how inputs become values.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "text/jinja/text_builder.h"
#include "text/jinja/value.h"

namespace mach::jinja {

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // one level's worth; one line where empty
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

// Throws Failure for what JSON has no form of: undefined values, macros, keys that are no scalars.
void append_json(TextBuilder& out, const Value& value, const JsonStyle& style);

// Keeps the order of keys. A null budget makes values that outlive a rendering.
// Throws Failure{kTooLarge} past Limits::kNesting.
Value from_json(Budget* budget, const nlohmann::ordered_json& json);

}  // namespace mach::jinja
