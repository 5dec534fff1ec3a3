#include "engine/generate.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "mach/error.h"

namespace mach {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// At least the last token goes through the model again: its logits are wanted.
uint32_t keep_common_prefix(Session& session, std::span<const TokenId> prompt) {
  const std::span<const TokenId> held = session.tokens();
  const auto common =
      std::mismatch(held.begin(), held.end(), prompt.begin(), prompt.end()).first - held.begin();
  const auto keep = std::min(static_cast<uint32_t>(common), static_cast<uint32_t>(prompt.size()) - 1);
  if (session.truncate(keep)) return keep;
  if (!session.truncate(0)) throw Error(ErrorCode::kInternal, "session: cannot be emptied");
  return 0;
}

void add_text(const std::vector<TextPiece>& pieces, std::string& text) {
  for (const TextPiece& piece : pieces) text += piece.text;
}

}  // namespace

GenerationResult generate(Session& session, const Tokenizer& tokenizer, std::span<const TokenId> prompt,
                          const GenerationParams& params, const GenerationCallbacks& callbacks) {
  if (prompt.empty()) throw Error(ErrorCode::kInvalidRequest, "prompt: has no tokens");
  if (prompt.size() > session.context_length()) {
    throw Error(ErrorCode::kTooLarge, fmt::format("prompt: {} tokens exceed the context length of {}",
                                                  prompt.size(), session.context_length()));
  }
  Generation generation(tokenizer, params, prompt);
  GenerationResult result;
  result.prompt_tokens = static_cast<uint32_t>(prompt.size());
  result.reused_tokens = keep_common_prefix(session, prompt);

  const auto cancel = [&] {
    add_text(generation.end(FinishReason::kCancelled), result.text);
    result.finish = *generation.finish_reason();
  };

  const Clock::time_point start = Clock::now();
  bool cancelled = false;
  const auto progress = [&](uint32_t done, uint32_t total) {
    cancelled = callbacks.prefill && !callbacks.prefill(done, total);
    return !cancelled;
  };
  try {
    session.append(prompt.subspan(result.reused_tokens), progress);
  } catch (const Error& e) {
    if (!cancelled || e.code() != ErrorCode::kCancelled) throw;
    result.prefill_seconds = seconds_since(start);
    cancel();
    return result;
  }
  result.prefill_seconds = seconds_since(start);

  const Clock::time_point decode_start = Clock::now();
  while (true) {
    TokenConstraint* constraint = callbacks.constraint;
    GenerationStep step =
        generation.next(session.logits(), constraint != nullptr ? constraint->allowed() : TokenMask{});
    if (constraint != nullptr) constraint->accept(step.id);
    result.tokens.push_back(step.id);
    const bool full = session.tokens().size() >= session.context_length();
    if (!step.finish && full) {
      for (TextPiece& piece : generation.end(FinishReason::kLength)) step.pieces.push_back(std::move(piece));
      step.finish = generation.finish_reason();
    }
    add_text(step.pieces, result.text);
    const bool go_on = !callbacks.step || callbacks.step(step);
    if (step.finish) {
      result.finish = *step.finish;
      break;
    }
    if (!go_on) {
      cancel();
      break;
    }
    session.append(std::span(&step.id, 1));
  }
  result.decode_seconds = seconds_since(decode_start);
  return result;
}

}  // namespace mach
