// Which tokens the next pass takes of each running sequence. A sequence that generates has one token to feed; one whose
// prompt is being processed has many, and gets an equal share of what a pass may take of prompts, so that a short prompt
// does not wait for a long one. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mach {

struct StepDemand {
  uint32_t tokens = 0;  // that can be fed now: up to the end of the prompt, or to a length to stop at
  bool generating = false;
};

struct StepLimits {
  uint32_t prefill_chunk = 0;      // prompt tokens in a pass
  uint32_t interleaved_chunk = 0;  // the same when a sequence generates
};

// Tokens of each sequence, in its order; 0: it sits this pass out. Prompts that come first get what does not divide
// evenly, so every pass moves the oldest one.
std::vector<uint32_t> plan_step(std::span<const StepDemand> demands, const StepLimits& limits);

}  // namespace mach
