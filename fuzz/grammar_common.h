// What the grammar fuzzers share: a small vocabulary whose tokens cross every border, and a walk along allowed tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "text/grammar/compiled_grammar.h"
#include "text/grammar/matcher.h"

namespace mach::fuzz {

inline std::shared_ptr<const grammar::TokenVocabulary> vocabulary() {
  static const auto kVocabulary = [] {
    std::vector<std::string> texts;
    for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
    for (const char* text : {"\"}", "\":", "\",", "{\"", "ab", "abc", "12", "1,", "\\u00", "\xC3\xA9",
                             "\xF0\x9F", ", \"", "]}", "\n  ", "aaaaaaaa", "true", "a\"b"}) {
      texts.emplace_back(text);
    }
    texts.emplace_back();
    const TokenId stop = static_cast<TokenId>(texts.size()) - 1;
    return grammar::TokenVocabulary::from_texts(texts, std::span(&stop, 1));
  }();
  return kVocabulary;
}

// Goes along allowed tokens, chosen by `seed`. Traps if there is no way on, or if the mask and accept() disagree.
inline void walk(const grammar::Grammar& source, uint32_t seed, int steps) {
  using namespace grammar;  // NOLINT(google-build-using-namespace)
  GrammarMatcher matcher(CompiledGrammar::compile(source, vocabulary()));
  std::vector<uint32_t> mask(vocabulary()->mask_words());
  for (int step = 0; step < steps && !matcher.terminated(); ++step) {
    matcher.fill_mask(mask);
    std::vector<TokenId> ids;
    for (TokenId id = 0; static_cast<size_t>(id) < vocabulary()->size(); ++id) {
      const bool allowed = ((mask[static_cast<size_t>(id) / 32] >> (id % 32)) & 1) != 0;
      if (step < 6 && matcher.accept(id) != allowed) __builtin_trap();
      if (step < 6 && allowed) matcher.rollback(1);
      if (allowed) ids.push_back(id);
    }
    if (ids.empty()) __builtin_trap();
    seed = seed * 1664525 + 1013904223;
    if (!matcher.accept(ids[(seed >> 8) % ids.size()])) __builtin_trap();
  }
}

}  // namespace mach::fuzz
