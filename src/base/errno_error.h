// Turns an errno value into a mach::Error: kNotFound where the path does not exist, otherwise kIo.
#pragma once

#include <string_view>

#include "mach/error.h"

namespace mach {

// what: the operation and the file, e.g. "cannot open /models/x/config.json". The system's reason is
// appended.
Error errno_error(std::string_view what, int errno_value);

}  // namespace mach
