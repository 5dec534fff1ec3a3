// The commands that load no model: they link no kernels, and the small program mach_inspect holds only them.
#pragma once

#include "tools/command.h"

namespace mach::tools {

int run_archs(int argc, char** argv);
int run_check(int argc, char** argv);
int run_models(int argc, char** argv);

inline constexpr Command kArchsCommand{"archs", "List the model architectures that can be loaded", run_archs};
inline constexpr Command kCheckCommand{"check", "Say whether a checkpoint will run here, before it is loaded",
                                       run_check};
inline constexpr Command kModelsCommand{"models", "List local checkpoints and the remote catalogue",
                                        run_models};

}  // namespace mach::tools
