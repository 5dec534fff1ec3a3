// The functions that every template can call without being given them: Jinja's range, dict, namespace, cycler, joiner,
// and Hugging Face's raise_exception and strftime_now.
#pragma once

#include <string_view>

#include "text/jinja/value.h"

namespace mach::jinja {

// Missing when there is none of this name.
Value find_global(std::string_view name);

}  // namespace mach::jinja
