// Walks all matches of a Regex in a text, the way tokenizers counts them: left to right, not overlapping, and an empty
// match directly after another match does not count.
#pragma once

#include "text/tokenizer/characters.h"
#include "text/tokenizer/regex.h"

namespace mach {

// on_match(RegexMatch) for each.
template <class OnMatch>
void for_each_match(const Regex& regex, std::string_view text, RegexScratch& scratch, OnMatch on_match) {
  size_t from = 0;
  size_t last_end = SIZE_MAX;
  while (from <= text.size()) {
    const std::optional<RegexMatch> match = regex.search(text, from, scratch);
    if (!match) return;
    if (match->begin == match->end && match->end == last_end) {
      if (from >= text.size()) return;
      from += character_at(text, from).length;
      continue;
    }
    on_match(*match);
    from = last_end = match->end;
  }
}

}  // namespace mach
