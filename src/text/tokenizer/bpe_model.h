// Byte-pair encoding of one piece of text: start from its characters (or bytes) and merge, again and again, the adjacent
// pair of lowest rank, the leftmost on ties, until no pair merges. Two flavours:
//   byte-level     the symbols are bytes; every byte has a token
//   characters     the symbols are characters; those without a token fall back to byte tokens "<0xHH>" or to unk_token
// Immutable after construction; encode() may run on any thread, each with its own Scratch. Time is n log n in the piece.
// Semantics: Hugging Face tokenizers 0.23, models/bpe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mach/session.h"

#include "text/tokenizer/merge_table.h"
#include "text/tokenizer/string_table.h"
#include "text/tokenizer/word_cache.h"

namespace mach {

struct BpeOptions {
  bool byte_level = false;     // pieces are bytes that stand for the byte-level alphabet
  bool ignore_merges = false;  // a piece that is a token as a whole becomes that token
  bool byte_fallback = false;
  bool fuse_unk = false;  // neighbouring unknown characters become one unk_token
  std::optional<std::string> unk_token;
  std::string continuing_subword_prefix;  // before every symbol but the first of a piece
  std::string end_of_word_suffix;         // after the last one
};

class BpeModel {
 public:
  struct Candidate {  // of a merge in a long piece
    uint64_t order;   // rank, then position: what std::greater sorts by
    TokenId left, right, merged;
    bool operator>(const Candidate& other) const noexcept { return order > other.order; }
  };
  struct Scratch {
    WordCache cache;
    std::string text;
    std::vector<TokenId> symbols;
    std::vector<int32_t> previous, next;
    std::vector<Candidate> heap;
  };

  // `where` names the model in errors. Throws Error{kUnsupported} for byte-level together with a byte_fallback that would
  // be used.
  BpeModel(StringTable vocabulary, MergeTable merges, BpeOptions options, const std::string& where);

  const StringTable& vocabulary() const noexcept { return vocabulary_; }

  // Appends the ids of one piece. A character with neither token, bytes nor unk_token leaves no trace, as in the reference.
  void encode(std::string_view piece, Scratch& scratch, std::vector<TokenId>& out) const;

 private:
  void index_characters();
  void index_pairs();
  TokenId id_of_character(std::string_view character) const noexcept;
  bool may_join(char32_t left, char32_t right) const noexcept;

  void encode_cached(std::string_view word, Scratch& scratch, std::vector<TokenId>& out) const;
  void encode_word(std::string_view word, Scratch& scratch, std::vector<TokenId>& out) const;
  bool encode_whole(std::string_view word, Scratch& scratch, std::vector<TokenId>& out) const;
  void start_from_bytes(std::string_view word, std::vector<TokenId>& symbols) const;
  void start_from_units(std::string_view word, Scratch& scratch) const;
  bool append_fallback(std::string_view unit, std::vector<TokenId>& symbols) const;
  void merge_few(std::vector<TokenId>& symbols) const;
  void merge_many(Scratch& scratch) const;
  void push_candidate(Scratch& scratch, int32_t position) const;

  StringTable vocabulary_;
  MergeTable merges_;
  BpeOptions options_;
  std::string where_;
  bool plain_ = true;  // no prefix, no suffix
  std::optional<TokenId> unk_id_;
  std::array<TokenId, 256> byte_ids_{};  // of the byte-level character, else of "<0xHH>"; -1 if there is none
  std::vector<TokenId> character_ids_;   // by code point below U+10000; -1
  std::vector<uint64_t> joinable_pairs_;  // a bit set of hashed character pairs, see may_join
};

}  // namespace mach
