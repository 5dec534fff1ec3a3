#include "model/pass.h"

#include <algorithm>
#include <string>

#include "mach/error.h"

#include "model/workspace.h"

namespace mach {
namespace {

void check_steps(const ModelConfig& config, std::span<const SequenceStep> steps, std::span<float> logits) {
  for (size_t s = 0; s < steps.size(); ++s) {
    const SequenceStep& step = steps[s];
    if (step.state == nullptr) throw Error(ErrorCode::kInternal, "forward pass: a step has no state");
    for (size_t other = 0; other < s; ++other) {
      if (steps[other].state == step.state) {
        throw Error(ErrorCode::kInternal, "forward pass: a state appears twice");
      }
    }
    if (step.tokens.empty()) throw Error(ErrorCode::kInvalidRequest, "forward pass: a step has no tokens");
    for (const int32_t token : step.tokens) {
      if (token < 0 || static_cast<uint32_t>(token) >= config.vocab_size) {
        throw Error(ErrorCode::kInvalidRequest, "token id " + std::to_string(token) +
                                                    " is outside the vocabulary of " +
                                                    std::to_string(config.vocab_size));
      }
    }
  }
  if (logits.size() < Model::logits_rows(steps) * config.vocab_size) {
    throw Error(ErrorCode::kInternal, "forward pass: no room for the wanted logits");
  }
}

}  // namespace

Pass::Pass(Workspace& workspace, const ModelConfig& config, std::span<const SequenceStep> steps,
           std::span<float> logits)
    : frame_(workspace.arena()) {
  check_steps(config, steps, logits);
  size_t rows = 0;
  for (const SequenceStep& step : steps) rows += step.tokens.size();
  ScratchArena& arena = workspace.arena();
  sequences_ = arena.take<PassSequence>(steps.size());
  tokens_ = arena.take<int32_t>(rows);
  positions_ = arena.take<uint32_t>(rows);
  wanted_ = arena.take<uint32_t>(Model::logits_rows(steps));

  uint32_t row = 0;
  size_t wanted = 0;
  for (size_t s = 0; s < steps.size(); ++s) {
    const SequenceStep& step = steps[s];
    const auto count = static_cast<uint32_t>(step.tokens.size());
    sequences_[s] = {.state = step.state, .first_row = row, .rows = count, .position = step.state->length()};
    for (uint32_t i = 0; i < count; ++i, ++row) {
      tokens_[row] = step.tokens[i];
      positions_[row] = sequences_[s].position + i;
      const bool last = i + 1 == count;
      if (step.logits == LogitsWanted::kAll || (step.logits == LogitsWanted::kLast && last)) {
        wanted_[wanted++] = row;
      }
    }
  }
}

Pass::~Pass() {
  if (committed_) return;
  for (const PassSequence& sequence : sequences_) sequence.state->discard();
}

void Pass::commit() noexcept {
  for (const PassSequence& sequence : sequences_) sequence.state->commit();
  committed_ = true;
}

size_t Model::logits_rows(std::span<const SequenceStep> steps) noexcept {
  size_t rows = 0;
  for (const SequenceStep& step : steps) {
    if (step.logits == LogitsWanted::kAll) rows += step.tokens.size();
    if (step.logits == LogitsWanted::kLast) rows += 1;
  }
  return rows;
}

}  // namespace mach
