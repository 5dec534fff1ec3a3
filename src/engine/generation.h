// One answer being generated: what happens to a sequence between two forward passes. It chooses a token from the
// logits, turns it into text, looks for stop strings, and says when to end. It neither runs a model nor waits, so a
// loop over one session (generate.h) and a scheduler that advances many sequences per pass use the same object.
//
// Output comes as pieces, one per token, in order. A piece is held back while its text could be the beginning of a
// stop string, and is then released whole, so a consumer that looks at ids (an OutputParser) sees each with its text.
//
// Single owner; the tokenizer must outlive it.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sampler.h"
#include "engine/stop_matcher.h"
#include "text/tokenizer/detokenizer.h"

namespace mach {

enum class FinishReason : uint8_t {
  kStop,       // a stop token or a stop string
  kLength,     // max_tokens, or the context is full
  kCancelled,  // the caller said so
};
std::string_view to_string(FinishReason reason) noexcept;  // "stop", "length", "cancelled"

struct GenerationParams {
  SamplingParams sampling;
  uint32_t vocabulary = 0;  // ids from here on have no token and are never chosen
  uint32_t max_tokens = 512;
  std::vector<std::string> stop;  // not part of the output
  std::vector<TokenId> stop_ids;  // the token counts, but leaves no text
  bool skip_special = true;       // special tokens leave no text
};

struct TextPiece {
  SampledToken token;  // id -1: the part of a token before a stop string, or the decoder's rest
  std::string text;    // whole UTF-8 characters; often empty
};

struct GenerationStep {
  TokenId id = 0;                 // the token chosen in this step
  std::vector<TextPiece> pieces;  // output released by it; ids may be of earlier steps
  std::optional<FinishReason> finish;
};

class Generation {
 public:
  // Throws Error{kInvalidRequest} naming the parameter that is wrong.
  Generation(const Tokenizer& tokenizer, const GenerationParams& params, std::span<const TokenId> prompt);

  // Chooses and takes the next token. Not after it finished. Throws what Sampler::sample() throws.
  GenerationStep next(std::span<const float> logits, TokenMask allowed = {});

  // Ends early; returns what was held back. Not after it finished.
  std::vector<TextPiece> end(FinishReason reason);

  std::span<const TokenId> tokens() const noexcept {
    return tokens_;
  }  // chosen so far, a stop token included
  std::optional<FinishReason> finish_reason() const noexcept { return finish_; }
  const std::optional<std::string>& matched_stop() const noexcept { return stops_.matched(); }

 private:
  void take_text(SampledToken token, std::string text);
  void release(std::vector<TextPiece>& out);
  void flush();

  const uint32_t max_tokens_;
  const std::vector<TokenId> stop_ids_;
  Sampler sampler_;
  Detokenizer detokenizer_;
  StopMatcher stops_;
  std::vector<TokenId> tokens_;
  std::deque<TextPiece> pending_;
  size_t certain_ = 0;  // bytes at the front of pending_ that are output
  std::optional<FinishReason> finish_;
};

}  // namespace mach
