#include "tools/sampling_arguments.h"

#include <random>

#include "tools/cli.h"

namespace mach::tools {

void SamplingArguments::add_to(CLI::App& app) {
  constexpr const char* kGroup =
      "Sampling (default: the checkpoint's generation_config.json if it samples, else greedy)";
  const auto add = [&](const char* name, auto& value, const char* description) {
    app.add_option(name, value, description)->group(kGroup);
  };
  add("--temperature", temperature_, "0 takes the likeliest token each time");
  add("--top-k", top_k_, "Keep the K likeliest tokens; 0 keeps all");
  add("--top-p", top_p_, "Keep the smallest set of likeliest tokens with at least this probability");
  add("--min-p", min_p_, "Drop tokens below this share of the likeliest one's probability");
  add("--repetition-penalty", repetition_penalty_, "Above 1: make tokens of prompt and answer less likely");
  add("--presence-penalty", presence_penalty_, "Subtracted from the logit of tokens in the answer");
  add("--frequency-penalty", frequency_penalty_, "The same, once per occurrence");
  add("--seed", seed_, "Same seed and numbers: same text (default: random, shown by --stats and --json)");
}

void SamplingArguments::apply_to(SamplingParams& params) const {
  if (temperature_) params.temperature = *temperature_;
  if (top_k_) params.top_k = *top_k_;
  if (top_p_) params.top_p = *top_p_;
  if (min_p_) params.min_p = *min_p_;
  if (repetition_penalty_) params.repetition_penalty = *repetition_penalty_;
  if (presence_penalty_) params.presence_penalty = *presence_penalty_;
  if (frequency_penalty_) params.frequency_penalty = *frequency_penalty_;
  params.seed =
      seed_ ? *seed_ : std::random_device()();  // 32 bits: survives JSON readers that know only doubles
}

}  // namespace mach::tools
