// A name that came from outside, made fit for an error line: in quotes, control characters as '?', invalid UTF-8
// replaced, cut after `max_bytes`.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mach {

std::string quoted_name(std::string_view name, size_t max_bytes = 200);
// The same without quotes, for longer pieces of foreign text.
std::string printable(std::string_view text, size_t max_bytes);

}  // namespace mach
