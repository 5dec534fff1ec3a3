#include <array>

#include "tools/command.h"

namespace mach::tools {

// int run_generate(int argc, char** argv);  one line per command, defined in generate.cpp and so on

std::span<const Command> commands() noexcept {
  static constexpr std::array<Command, 0> kCommands = {
      // Command{"generate", "Generate text from a prompt", run_generate},
  };
  return kCommands;
}

}  // namespace mach::tools
