// How a checkpoint wants to be used when a request does not say: generation_config.json, and the ids at which its text
// ends. That file is advice, often edited by hand, and no reason to refuse a model: what is wrong in it is ignored with
// a warning that names the key. Values only.
//
// Sampling: with "do_sample": true the file's temperature (1 if absent), top_p, top_k and min_p; otherwise greedy, as
// Hugging Face does. repetition_penalty and suppress_tokens count either way.
//
// Stop ids: the union of generation_config.json, config.json, the tokenizer's end-of-text token, and the tokens with
// which the chat format ends a turn (text/chat/chat_format.h); published configs list these incompletely.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sampling_params.h"

namespace mach {

struct GenerationDefaults {
  SamplingParams sampling;
  std::optional<uint32_t> max_new_tokens;
  std::vector<TokenId> stop_ids;  // ascending
  std::vector<std::string> warnings;
};

// `text` is the content of the file `what`. Never throws for what the text says.
GenerationDefaults parse_generation_config(std::string_view text, std::string_view what, uint32_t vocab_size);

// Adds ids; those outside the vocabulary are dropped with a warning that names `source`.
void add_stop_ids(GenerationDefaults& defaults, std::span<const TokenId> ids, std::string_view source,
                  uint32_t vocab_size);

}  // namespace mach
