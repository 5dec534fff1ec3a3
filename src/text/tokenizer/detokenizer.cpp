#include "text/tokenizer/detokenizer.h"

namespace mach {

void Detokenizer::push_to(TokenId id, std::string& out) {
  const std::string_view token = tokenizer_->decoder_input(id);
  if (token.data() == nullptr || (options_.skip_special && tokenizer_->is_special(id))) return;
  const Decoder& decoder = tokenizer_->decoder();
  if (decoder.is_concatenation_of_bytes()) {
    decoder.push_bytes(tokenizer_->token_bytes(id), state_, out);
  } else {
    decoder.push(token, state_, out);
  }
}

std::string Detokenizer::push(TokenId id) {
  std::string out;
  push_to(id, out);
  return out;
}

std::string Detokenizer::finish() {
  std::string out;
  tokenizer_->decoder().finish(state_, out);
  return out;
}

}  // namespace mach
