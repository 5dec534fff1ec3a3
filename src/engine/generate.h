// The generation loop over one session: prompt ids in, pieces of text out as they come, a summary at the end. The
// command-line tools use it; a server's scheduler does the same with several Generations per forward pass.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "mach/session.h"

#include "engine/generation.h"
#include "text/grammar/token_constraint.h"

namespace mach {

struct GenerationCallbacks {
  PrefillProgress prefill;                               // false stops
  std::function<bool(const GenerationStep& step)> step;  // after every token; false stops
  TokenConstraint* constraint = nullptr;                 // what may be generated; null: everything
};

struct GenerationResult {
  std::string text;
  std::vector<TokenId> tokens;  // a stop token included
  FinishReason finish = FinishReason::kStop;
  uint32_t prompt_tokens = 0;
  uint32_t reused_tokens = 0;  // of the prompt, already in the session
  double prefill_seconds = 0;
  double decode_seconds = 0;
};

// What the session already holds of the prompt is kept as far as its caches can go back; the rest is replaced.
// Afterwards the session holds the prompt and all generated tokens but the last. A callback that returns false ends
// it with FinishReason::kCancelled and the text so far; of that, what was held back for a stop string went through no
// callback. Throws Error{kInvalidRequest, kTooLarge} before any work,
// and what the model throws.
GenerationResult generate(Session& session, const Tokenizer& tokenizer, std::span<const TokenId> prompt,
                          const GenerationParams& params, const GenerationCallbacks& callbacks = {});

}  // namespace mach
