// Picks the command to run from argv and is the one place of the program where exceptions end.
//
//   mach NAME ARGS...      runs the row NAME with argv[0] = "mach NAME"
//   mach-NAME ARGS...      (a link to the same file) runs it with argv[0] = "mach-NAME"
//   mach --help, --version, help NAME
//
// Errors: a mach::Error becomes one line `mach NAME: error: ...` on stderr and its code's exit status
// (mach/error.h); anything else is our own bug and ends with the status of kInternal.
#pragma once

#include <iosfwd>
#include <span>
#include <string_view>

#include "tools/command.h"

namespace mach::tools {

// The whole of main(). Returns the exit status; throws nothing.
int dispatch(std::span<const Command> rows, int argc, char** argv, std::ostream& out,
             std::ostream& err) noexcept;

// The row whose name is closest to `name`, if it is close enough to be what was meant; else nullptr.
const Command* nearest_command(std::span<const Command> rows, std::string_view name);

}  // namespace mach::tools
