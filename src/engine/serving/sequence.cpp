#include "engine/serving/sequence.h"

#include <iterator>
#include <utility>

namespace mach {

Sequence::Sequence(std::shared_ptr<ActiveRequest> request, uint32_t choice)
    : request_(std::move(request)), choice_(choice), tokens_(request_->request.prompt) {
  if (request_->request.prefill_only) return;
  generation_.emplace(std::move(*request_->generations[choice]));
  request_->generations[choice].reset();
  if (request_->request.constraint) constraint_ = request_->request.constraint->clone();
}

void Sequence::start(std::unique_ptr<SequenceState> state, const std::vector<uint32_t>& pauses) {
  state_ = std::move(state);
  pauses_.assign(pauses.rbegin(), pauses.rend());
}

bool Sequence::take_pause() noexcept {
  if (pauses_.empty() || pauses_.back() != state_->length()) return false;
  pauses_.pop_back();
  return true;
}

StepDemand Sequence::demand() const noexcept {
  const uint32_t until = pauses_.empty() ? static_cast<uint32_t>(tokens_.size()) : pauses_.back();
  return {until - state_->length(), !in_prompt()};
}

SequenceStep Sequence::step(uint32_t count) const noexcept {
  const uint32_t first = state_->length();
  const bool last = first + count == tokens_.size() && generation_;
  return {state_.get(), std::span(tokens_).subspan(first, count),
          last ? LogitsWanted::kLast : LogitsWanted::kNone};
}

void Sequence::choose(std::span<const float> logits, uint32_t context_length) noexcept {
  try {
    chosen_ = generation_->next(logits, constraint_ ? constraint_->allowed() : TokenMask{});
    if (constraint_) constraint_->accept(chosen_.id);
    if (!chosen_.finish && tokens_.size() >= context_length) {
      auto held = generation_->end(FinishReason::kLength);
      std::move(held.begin(), held.end(), std::back_inserter(chosen_.pieces));
      chosen_.finish = generation_->finish_reason();
    }
    if (!chosen_.finish) tokens_.push_back(chosen_.id);
  } catch (...) {
    failure_ = std::current_exception();
  }
}

void Sequence::rethrow_failure() const {
  if (failure_) std::rethrow_exception(failure_);
}

}  // namespace mach
