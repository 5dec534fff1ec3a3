// One row per command of the multi-call binary. `mach NAME ...` and the link `mach-NAME ...` run the same
// function.
#pragma once

#include <span>
#include <string_view>

namespace mach::tools {

struct Command {
  std::string_view name;     // as in `mach NAME`
  std::string_view summary;  // one line for `mach --help`
  // argv[0] is the name to show in help and errors ("mach-generate" or "mach generate"). Returns the exit
  // status; throws mach::Error, which main() prints as one line and turns into the code's exit status.
  int (*run)(int argc, char** argv);
};

std::span<const Command> commands() noexcept;

}  // namespace mach::tools
