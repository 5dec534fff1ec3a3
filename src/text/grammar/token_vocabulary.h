// The tokens of a tokenizer as a grammar sees them: which ids are text, spelled by which bytes, in the order of their bytes
// so that tokens with a common beginning stand together; and which ids end the text.
//
// Special tokens are never text, and neither are the markers of the chat format (<tool_call>, <think> ...), which a parser
// of the output recognises by id: a grammar can only ask for them by id. Ids without bytes are never allowed.
// Immutable, thread-safe; one per loaded model.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mach/session.h"

#include "text/tokenizer/tokenizer.h"

namespace mach::grammar {

class TokenVocabulary {
 public:
  struct Token {
    TokenId id;
    uint32_t offset;         // into the bytes of all tokens
    uint16_t length;         // bytes, at least 1
    uint16_t common_prefix;  // with the token before
  };

  // markers: ids that are not text though the tokenizer does not call them special. stop_ids end the text.
  static std::shared_ptr<const TokenVocabulary> from_tokenizer(const Tokenizer& tokenizer,
                                                               std::span<const TokenId> markers,
                                                               std::span<const TokenId> stop_ids);
  // Ids are positions; an empty text stands for an id that is not text.
  static std::shared_ptr<const TokenVocabulary> from_texts(std::span<const std::string> texts,
                                                           std::span<const TokenId> stop_ids);

  size_t size() const { return size_; }                    // ids below
  size_t mask_words() const { return (size_ + 31) / 32; }  // of a token mask
  std::span<const Token> sorted() const { return tokens_; }
  std::string_view bytes(const Token& token) const {
    return std::string_view(bytes_).substr(token.offset, token.length);
  }
  // Empty for ids that are not text.
  std::string_view text(TokenId id) const;
  std::span<const TokenId> stop_ids() const { return stop_ids_; }
  bool is_stop(TokenId id) const;
  size_t longest() const { return longest_; }  // bytes of the longest token

 private:
  TokenVocabulary(size_t size, std::vector<std::pair<std::string_view, TokenId>> texts,
                  std::span<const TokenId> stop_ids);

  size_t size_ = 0;
  size_t longest_ = 0;
  std::string bytes_;
  std::vector<Token> tokens_;
  std::vector<uint32_t> by_id_;  // position in tokens_, or none
  std::vector<TokenId> stop_ids_;
};

}  // namespace mach::grammar
