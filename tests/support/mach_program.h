// The built program, run as its users run it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "support/shared_dir.h"
#include "support/subprocess.h"

namespace mach::testing {

inline std::filesystem::path mach_program() { return MACH_PROGRAM; }

inline std::filesystem::path demo_model() { return source_dir() / "models/mini-qwen3_moe-mlx-4bit"; }

inline std::vector<std::string> mach_arguments(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), mach_program().string());
  return arguments;
}

// `mach ARGUMENTS...`
inline ProcessResult run_mach(std::vector<std::string> arguments, std::string_view input = "",
                              const Subprocess::Environment& extra = {}) {
  return run_program(mach_arguments(std::move(arguments)), input, extra);
}

}  // namespace mach::testing
