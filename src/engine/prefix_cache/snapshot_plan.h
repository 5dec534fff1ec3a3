// At which lengths of a prompt a snapshot is worth its memory. A cache that keeps every position needs one, at the end; the
// others can only be reused at lengths where one was taken, so these are the places where a later prompt is likely to part
// from this one:
//   - the end of the first turn (system text and tools) and of the last ones before the reply, told by the tokens that end
//     turns, and what the caller names;
//   - where this prompt itself parts from one seen before: a third will likely do the same (Pan et al., Marconi: Prefix
//     Caching for the Era of Hybrid LLMs, 2024);
//   - every so many tokens of a long one;
//   - near its end, for the same prompt again, whose last token has to go through the model for its logits.
// Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "mach/session.h"

namespace mach {

struct SnapshotHints {
  std::span<const TokenId> turn_ends;    // tokens that end a turn
  std::span<const uint32_t> boundaries;  // lengths named by the caller, any order
  uint32_t restored = 0;                 // tokens that came from the cache: no snapshot up to there
  uint32_t common = 0;                   // tokens shared with a prompt seen before
  uint32_t least = 1;                    // no snapshot of fewer tokens
  uint32_t interval = 0;                 // 0: none at regular places
  bool whole_prompt_is_prefix = false;   // nothing will be generated: its end is a boundary like others
};

// Ascending, each in (restored, prompt.size()].
std::vector<uint32_t> snapshot_lengths(std::span<const TokenId> prompt, const SnapshotHints& hints);

}  // namespace mach
