#include "engine/serving/active_request.h"

#include <utility>

#include <fmt/format.h>

namespace mach {
namespace {

using Clock = ActiveRequest::Clock;

double seconds(std::optional<Clock::time_point> from, std::optional<Clock::time_point> to) {
  return from && to ? std::chrono::duration<double>(*to - *from).count() : 0;
}

void check(const EngineRequest& request, uint32_t vocab_size, uint32_t context_length) {
  if (!request.events) throw Error(ErrorCode::kInternal, "request: has no event sink");
  if (request.prompt.empty()) throw Error(ErrorCode::kInvalidRequest, "prompt: has no tokens");
  if (request.prompt.size() > context_length) {
    throw Error(ErrorCode::kTooLarge, fmt::format("prompt: {} tokens exceed the context length of {}",
                                                  request.prompt.size(), context_length));
  }
  if (request.choices == 0 || request.choices > kMaxChoices) {
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("n: {} is outside [1, {}]", request.choices, kMaxChoices));
  }
  for (size_t i = 0; i < request.prompt.size(); ++i) {
    const TokenId id = request.prompt[i];
    if (id >= 0 && static_cast<uint32_t>(id) < vocab_size) continue;
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("prompt: token {} is {}, outside the vocabulary [0, {})", i, id, vocab_size));
  }
}

}  // namespace

ActiveRequest::ActiveRequest(RequestId request_id, EngineRequest wanted, const Tokenizer& tokenizer,
                             uint32_t vocab_size, uint32_t context_length)
    : id(request_id), request(std::move(wanted)), open_choices(request.prefill_only ? 1 : request.choices) {
  check(request, vocab_size, context_length);
  usage_.prompt_tokens = static_cast<uint32_t>(request.prompt.size());
  if (request.prefill_only) return;
  generations.reserve(request.choices);
  GenerationParams params = request.params;
  for (uint32_t choice = 0; choice < request.choices; ++choice) {
    generations.emplace_back(std::in_place, tokenizer, params, request.prompt);
    ++params.sampling.seed;
  }
}

void ActiveRequest::start(uint32_t cached_tokens) {
  started_ = Clock::now();
  usage_.cached_tokens = cached_tokens;
  emit(StartedEvent{usage_.prompt_tokens, cached_tokens});
}

void ActiveRequest::progress(uint32_t done) { emit(ProgressEvent{done, usage_.prompt_tokens}); }

void ActiveRequest::took_token() {
  last_token_ = Clock::now();
  if (!first_token_) first_token_ = last_token_;
  ++usage_.generated_tokens;
}

void ActiveRequest::pieces(uint32_t choice, std::vector<TextPiece> pieces) {
  for (TextPiece& piece : pieces) emit(PieceEvent{choice, std::move(piece)});
}

void ActiveRequest::choice_ended(uint32_t choice, const Generation& generation) {
  --open_choices;
  emit(ChoiceEndEvent{choice, generation.finish_reason().value_or(FinishReason::kCancelled),
                      generation.matched_stop(), static_cast<uint32_t>(generation.tokens().size())});
}

void ActiveRequest::end(std::optional<Error> error) {
  const Clock::time_point now = Clock::now();
  RequestTimings timings;
  timings.queued_seconds = seconds(submitted_, started_.value_or(now));
  timings.prompt_seconds = seconds(started_, first_token_.value_or(now));
  timings.decode_seconds = seconds(first_token_, last_token_);
  emit(RequestEndEvent{std::move(error), usage_, timings});
}

void ActiveRequest::emit(EngineEvent event) noexcept {
  try {
    request.events(std::move(event));
  } catch (...) {
    broken_ = true;
  }
}

}  // namespace mach
