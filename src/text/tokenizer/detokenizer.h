// Decodes a stream of ids token by token. What push() returns is final: whole characters only, and all of it together, with
// finish(), is exactly Tokenizer::decode of the whole. So it holds back incomplete characters, runs of byte tokens (one bad
// byte changes the whole run) and what a Strip at the end could remove.
// Single owner; the tokenizer must outlive it.
#pragma once

#include <string>

#include "text/tokenizer/decoder.h"
#include "text/tokenizer/tokenizer.h"

namespace mach {

class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer, DecodeOptions options = {})
      : tokenizer_(&tokenizer), options_(options) {}

  // Often empty. Never throws for an id: one without a token adds nothing.
  std::string push(TokenId id);
  // What was held back; an incomplete character becomes U+FFFD. Ready for another stream afterwards.
  std::string finish();

 private:
  friend class Tokenizer;
  void push_to(TokenId id, std::string& out);

  const Tokenizer* tokenizer_;
  DecodeOptions options_;
  Decoder::State state_;
};

}  // namespace mach
