// The options of every command that loads a model: which checkpoint, how it computes, how much it may hold.
#pragma once

#include <memory>
#include <string>

#include <CLI/App.hpp>

#include "engine/loaded_engine.h"

namespace mach::tools {

struct EngineArguments {
  EngineOptions options;

  // Adds the options of computing (--exact, --threads, --kernels, ...) and of memory (--kv-cache, --streaming, ...).
  void add_to(CLI::App& app);

  // "auto", or gigabytes. Throws CLI::ValidationError naming --expert-cache-gb.
  void set_expert_cache(const std::string& text);

  // Prints what was ignored in the checkpoint's files to stderr. Throws as Engine::open().
  std::unique_ptr<LoadedEngine> open(const std::string& model) const;
};

}  // namespace mach::tools
