// A request on its way through the engine loop: what was asked, what it has cost, and the way its events take. Owned by
// the engine thread once it is submitted.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "engine/generation.h"
#include "engine/serving/engine_request.h"

namespace mach {

class ActiveRequest {
 public:
  using Clock = std::chrono::steady_clock;

  // Throws Error{kInvalidRequest, kTooLarge} for what cannot run.
  ActiveRequest(RequestId id, EngineRequest request, const Tokenizer& tokenizer, uint32_t vocab_size,
                uint32_t context_length);

  const RequestId id;
  const EngineRequest request;
  std::vector<std::optional<Generation>> generations;  // one per choice; taken out when it starts
  uint32_t open_choices;                               // not ended yet

  bool started() const noexcept { return started_.has_value(); }
  bool wants_end() const noexcept { return broken_; }

  void start(uint32_t cached_tokens);
  void progress(uint32_t done);
  void choice_ended(uint32_t choice, const Generation& generation);
  void took_token();  // a choice generated one
  void pieces(uint32_t choice, std::vector<TextPiece> pieces);
  void end(std::optional<Error> error);  // the last call

 private:
  void emit(EngineEvent event) noexcept;

  bool broken_ = false;  // the sink threw
  TokenUsage usage_;
  Clock::time_point submitted_ = Clock::now();
  std::optional<Clock::time_point> started_, first_token_, last_token_;
};

}  // namespace mach
