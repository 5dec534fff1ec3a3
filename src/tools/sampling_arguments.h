// Sampling options of a command line. What is not given stays as the checkpoint's generation_config.json has it.
#pragma once

#include <cstdint>
#include <optional>

#include <CLI/App.hpp>

#include "engine/sampling_params.h"

namespace mach::tools {

class SamplingArguments {
 public:
  void add_to(CLI::App& app);

  // Without --seed a random one is chosen; the caller shows params.seed, so that a run can be repeated.
  void apply_to(SamplingParams& params) const;

 private:
  std::optional<float> temperature_, top_p_, min_p_;
  std::optional<float> repetition_penalty_, presence_penalty_, frequency_penalty_;
  std::optional<uint32_t> top_k_;
  std::optional<uint64_t> seed_;
};

}  // namespace mach::tools
