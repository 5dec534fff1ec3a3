#include "engine/generation.h"

#include <algorithm>
#include <array>
#include <utility>

#include "mach/error.h"

namespace mach {
namespace {

constexpr std::array<std::string_view, 3> kFinishReasons = {"stop", "length", "cancelled"};

}  // namespace

std::string_view to_string(FinishReason reason) noexcept {
  return kFinishReasons[static_cast<size_t>(reason)];
}

Generation::Generation(const Tokenizer& tokenizer, const GenerationParams& params,
                       std::span<const TokenId> prompt)
    : max_tokens_(params.max_tokens),
      stop_ids_(params.stop_ids),
      sampler_(params.sampling, params.vocabulary),
      detokenizer_(tokenizer, DecodeOptions{.skip_special = params.skip_special}),
      stops_(params.stop) {
  if (max_tokens_ == 0) throw Error(ErrorCode::kInvalidRequest, "max_tokens: must be at least 1");
  sampler_.accept_prompt(prompt);
}

GenerationStep Generation::next(std::span<const float> logits, TokenMask allowed) {
  GenerationStep step;
  SampledToken token = sampler_.sample(logits, allowed);
  step.id = token.id;
  sampler_.accept(token.id);
  tokens_.push_back(token.id);

  if (std::find(stop_ids_.begin(), stop_ids_.end(), token.id) != stop_ids_.end()) {
    flush();
    finish_ = FinishReason::kStop;
  } else {
    take_text(std::move(token), detokenizer_.push(step.id));
    if (!stops_.stopped() && tokens_.size() >= max_tokens_) {
      flush();
      finish_ = FinishReason::kLength;
    }
    if (stops_.stopped()) finish_ = FinishReason::kStop;
  }
  release(step.pieces);
  step.finish = finish_;
  return step;
}

std::vector<TextPiece> Generation::end(FinishReason reason) {
  flush();
  finish_ = stops_.stopped() ? FinishReason::kStop : reason;
  std::vector<TextPiece> pieces;
  release(pieces);
  return pieces;
}

void Generation::take_text(SampledToken token, std::string text) {
  certain_ += stops_.push(text).size();
  pending_.push_back({std::move(token), std::move(text)});
}

// The decoder's rest is text like any other; after it nothing can become a stop string.
void Generation::flush() {
  SampledToken none;
  none.id = -1;
  if (std::string rest = detokenizer_.finish(); !rest.empty()) take_text(std::move(none), std::move(rest));
  certain_ += stops_.finish().size();
}

void Generation::release(std::vector<TextPiece>& out) {
  while (!pending_.empty() && pending_.front().text.size() <= certain_) {
    certain_ -= pending_.front().text.size();
    out.push_back(std::move(pending_.front()));
    pending_.pop_front();
  }
  if (!stops_.stopped()) return;
  if (certain_ > 0) {
    TextPiece& cut = pending_.front();
    cut.text.resize(certain_);
    cut.token.id = -1;
    out.push_back(std::move(cut));
    certain_ = 0;
  }
  pending_.clear();
}

}  // namespace mach
