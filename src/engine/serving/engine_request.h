// A generation as the engine loop takes it, and what it reports back.
//
// Events of one request come in this order: one StartedEvent; ProgressEvents while the prompt is processed; pieces of
// the choices as they come, interleaved; a ChoiceEndEvent for each choice; one RequestEndEvent, which is the last event
// of every accepted request, whatever happened to it (an error, a cancellation at any point, the end of the loop).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "mach/error.h"

#include "engine/generation.h"
#include "text/grammar/token_constraint.h"

namespace mach {

using RequestId = uint64_t;

inline constexpr uint32_t kMaxChoices = 128;

struct TokenUsage {
  uint32_t prompt_tokens = 0;
  uint32_t cached_tokens = 0;     // of the prompt, taken from the prefix cache
  uint32_t generated_tokens = 0;  // of all choices, stop tokens included
};

struct RequestTimings {
  double queued_seconds = 0;  // until its first pass
  double prompt_seconds = 0;  // from there to the first token
  double decode_seconds = 0;  // from the first token to the last of all choices
};

// The prompt is about to be processed.
struct StartedEvent {
  uint32_t prompt_tokens = 0;
  uint32_t cached_tokens = 0;
};

// After a part of the prompt; cached tokens count as done.
struct ProgressEvent {
  uint32_t done = 0;
  uint32_t total = 0;
};

// Text of a choice. As in Generation: one piece per token, in order, its log-probabilities with it where the request
// wants them.
struct PieceEvent {
  uint32_t choice = 0;
  TextPiece piece;
};

struct ChoiceEndEvent {
  uint32_t choice = 0;
  FinishReason reason = FinishReason::kStop;
  std::optional<std::string> matched_stop;
  uint32_t generated_tokens = 0;
};

struct RequestEndEvent {
  std::optional<Error>
      error;  // kCancelled if cancel() did it; choices without a ChoiceEndEvent are incomplete
  TokenUsage usage;
  RequestTimings timings;
};

using EngineEvent = std::variant<StartedEvent, ProgressEvent, PieceEvent, ChoiceEndEvent, RequestEndEvent>;

// Called on the engine thread, between passes: it must return at once (put the event into a queue, wake somebody) and may
// call cancel() but not wait for the loop. One that throws cancels its request.
using RequestSink = std::function<void(EngineEvent event)>;

struct EngineRequest {
  std::vector<TokenId> prompt;
  GenerationParams params;    // choice i draws with seed + i
  uint32_t choices = 1;       // continuations of the one prompt (n of the OpenAI API)
  bool prefill_only = false;  // only bring the prompt into the prefix cache: no choices, params unused
  std::unique_ptr<TokenConstraint> constraint;  // may be null; each choice has a clone of it

  // Lengths of the prompt at which another prompt is likely to part from it (the end of system text and tools, ends of
  // turns). Hints for the prefix cache, which also finds such places itself; wrong ones cost a little memory.
  std::vector<uint32_t> boundaries;

  RequestSink events;
};

}  // namespace mach
