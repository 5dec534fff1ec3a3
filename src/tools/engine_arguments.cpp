#include "tools/engine_arguments.h"

#include <iostream>

#include "tools/cli.h"

namespace mach::tools {

void EngineArguments::add_to(CLI::App& app) {
  app.add_flag(
      "--exact", options.exact,
      "Compute in fp32 throughout: the same result on every machine and for any number of threads (slower)");
  app.add_flag("--official-round-trips", options.official_round_trips,
               "deepseek_v4: round activations to FP8 and FP4 where DeepSeek's own implementation does");
  app.add_option("-t,--threads", options.threads, "Compute threads (default: one per available core)");
  app.add_option("--context-length", options.context_length,
                 "Tokens a session may hold (default: what the model allows, at most 8192)");
  app.add_option("--kernels,--kernel-set", options.kernel_set,
                 "Kernel set, such as avx512, avx2, neon or scalar (default: the best this machine runs)");
}

std::unique_ptr<LoadedEngine> EngineArguments::open(const std::string& model) const {
  auto engine = LoadedEngine::open(model, options);
  for (const std::string& warning : engine->info().warnings) std::cerr << "warning: " << warning << '\n';
  return engine;
}

}  // namespace mach::tools
