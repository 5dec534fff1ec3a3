// One choice of a request while it runs: its tokens, what the model remembers of them, and the generation that goes on
// from there. Prompt and reply are the same to it: tokens that are known and not yet in the state are fed, and after the
// last known one the logits give the next. Engine thread only.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/serving/active_request.h"
#include "engine/serving/step_plan.h"
#include "model/model.h"

namespace mach {

// The end of a prompt that several choices go on from.
struct SharedPrompt {
  StateSnapshot snapshot;
  std::vector<float> logits;
};

class Sequence {
 public:
  Sequence(std::shared_ptr<ActiveRequest> request, uint32_t choice);

  ActiveRequest& request() const noexcept { return *request_; }
  const std::shared_ptr<ActiveRequest>& shared_request() const noexcept { return request_; }
  uint32_t choice() const noexcept { return choice_; }
  SequenceState& state() const noexcept { return *state_; }
  std::span<const TokenId> tokens() const noexcept { return tokens_; }
  std::span<const TokenId> computed_tokens() const noexcept {
    return std::span(tokens_).first(state_->length());
  }
  bool in_prompt() const noexcept { return state_->length() < request_->request.prompt.size(); }

  // `state` holds a prefix of the prompt. At each of `pauses` (ascending lengths of the prompt) a pass ends.
  void start(std::unique_ptr<SequenceState> state, const std::vector<uint32_t>& pauses);

  // Whether the state stands at a pause, which is then over.
  bool take_pause() noexcept;

  // Of the next pass.
  StepDemand demand() const noexcept;
  SequenceStep step(uint32_t count) const noexcept;

  // Chooses the next token; what it says is in chosen() until the next call. Different sequences may do this on different
  // threads. Keeps what it throws for rethrow_failure().
  void choose(std::span<const float> logits, uint32_t context_length) noexcept;
  // Throws mach::Error.
  void rethrow_failure() const;
  GenerationStep& chosen() noexcept { return chosen_; }
  Generation& generation() noexcept { return *generation_; }

  bool ended = false;  // leaves at the end of the step

 private:
  std::shared_ptr<ActiveRequest> request_;
  uint32_t choice_;
  std::unique_ptr<SequenceState> state_;
  std::vector<TokenId> tokens_;
  std::vector<uint32_t> pauses_;          // those to come, the next one last
  std::optional<Generation> generation_;  // none for a request that only processes its prompt
  std::unique_ptr<TokenConstraint> constraint_;
  GenerationStep chosen_;
  std::exception_ptr failure_;
};

}  // namespace mach
