// mach_inspect: `mach-archs`, `mach-models` and `mach-check` are links to it. Nothing that computes is linked, so it
// starts at once and runs on any host.
#include <iostream>

#include "tools/dispatch.h"
#include "tools/read_only_commands.h"

int main(int argc, char** argv) {
  static constexpr mach::tools::Command kCommands[] = {
      mach::tools::kArchsCommand, mach::tools::kModelsCommand, mach::tools::kCheckCommand};
  return mach::tools::dispatch(kCommands, argc, argv, std::cout, std::cerr);
}
