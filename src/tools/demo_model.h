// The small checkpoint that the project ships, for commands that are called without a model. Looked for in each folder
// of $MACH_MODELS (separated by ':'), then beside the installed program (../share/mach/models), then where this program
// was configured to be installed, then in the source tree it was built from.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace mach::tools {

// Throws Error{kNotFound} naming the places.
std::filesystem::path find_demo_model();

// The folders searched, in order.
std::vector<std::filesystem::path> demo_model_places();

}  // namespace mach::tools
