// Reads a Python literal (dict, list, tuple, str, int, float, bool, None) and writes it as JSON. Models answer with them
// where JSON was asked for, because templates print arguments that way. Not Python: no expressions, no sets, no complex
// numbers, no string prefixes, no triple quotes. Pure; nesting is limited to kMaxJsonDepth.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mach {

// Empty unless the whole text, spaces around it aside, is one literal. Object keys become strings.
std::optional<std::string> python_literal_to_json(std::string_view text);

}  // namespace mach
