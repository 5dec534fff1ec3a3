// For the tests of grammars: vocabularies, yes-or-no questions, and the mask by brute force.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "text/grammar/compiled_grammar.h"
#include "text/grammar/matcher.h"
#include "text/grammar/token_vocabulary.h"

namespace mach::grammar::testing {

// Ids 0 to 255 are the single bytes, 256 ends the text.
inline constexpr TokenId kByteStop = 256;

inline std::shared_ptr<const TokenVocabulary> byte_vocabulary() {
  static const auto vocabulary = [] {
    std::vector<std::string> texts;
    for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
    texts.emplace_back("");
    const TokenId stop = kByteStop;
    return TokenVocabulary::from_texts(texts, std::span(&stop, 1));
  }();
  return vocabulary;
}

inline GrammarMatcher matcher_of(const Grammar& grammar) {
  return GrammarMatcher(CompiledGrammar::compile(grammar, byte_vocabulary()));
}

inline bool accepts(const GrammarMatcher& start, std::string_view text) {
  GrammarMatcher matcher = start;
  return (text.empty() || matcher.accept_text(text)) && matcher.can_stop();
}

// Tries accept() with every token.
inline std::vector<uint32_t> brute_force_mask(const GrammarMatcher& matcher) {
  const TokenVocabulary& vocabulary = matcher.grammar().vocabulary();
  std::vector<uint32_t> mask(vocabulary.mask_words());
  GrammarMatcher probe = matcher;
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    if (!probe.accept(static_cast<TokenId>(id))) continue;
    probe.rollback(1);
    mask[id / 32] |= 1U << (id % 32);
  }
  return mask;
}

inline std::vector<TokenId> allowed_ids(std::span<const uint32_t> mask) {
  std::vector<TokenId> ids;
  for (size_t id = 0; id < mask.size() * 32; ++id) {
    if (((mask[id / 32] >> (id % 32)) & 1) != 0) ids.push_back(static_cast<TokenId>(id));
  }
  return ids;
}

inline std::string name_difference(const TokenVocabulary& vocabulary, std::span<const uint32_t> mask,
                                   std::span<const uint32_t> wanted) {
  std::string out;
  for (size_t id = 0; id < vocabulary.size() && out.size() < 400; ++id) {
    const bool is = ((mask[id / 32] >> (id % 32)) & 1) != 0;
    const bool should = ((wanted[id / 32] >> (id % 32)) & 1) != 0;
    if (is != should) {
      out += std::string(is ? " +" : " -") + std::to_string(id) + "'" +
             std::string(vocabulary.text(static_cast<TokenId>(id))) + "'";
    }
  }
  return out;
}

}  // namespace mach::grammar::testing
