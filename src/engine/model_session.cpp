#include "engine/model_session.h"

#include <algorithm>

#include <fmt/format.h>

#include "mach/error.h"

#include "model/workspace.h"

namespace mach {

ModelSession::ModelSession(const Model& model, Workspace& workspace, const SessionLimits& limits)
    : model_(model), workspace_(workspace), limits_(limits), state_(model.new_state()) {
  if (limits.context_length == 0)
    throw Error(ErrorCode::kInvalidRequest, "context_length: must be at least 1");
  if (limits.prefill_chunk == 0) throw Error(ErrorCode::kInvalidRequest, "prefill_chunk: must be at least 1");
}

void ModelSession::append(std::span<const TokenId> tokens, const PrefillProgress& progress) {
  check(tokens);
  const auto total = static_cast<uint32_t>(tokens.size());
  for (uint32_t done = 0; done < total;) {
    if (progress && !progress(done, total)) {
      throw Error(ErrorCode::kCancelled,
                  fmt::format("prompt processing stopped at token {} of {}", done, total));
    }
    const uint32_t count = std::min(limits_.prefill_chunk, total - done);
    forward(tokens.subspan(done, count), done + count == total ? LogitsWanted::kLast : LogitsWanted::kNone);
    done += count;
  }
  if (progress && total > 0) progress(total, total);
}

void ModelSession::append_scored(std::span<const TokenId> tokens, const LogitRowsSink& sink) {
  check(tokens);
  const size_t vocabulary = model_.config().vocab_size;
  for (size_t done = 0; done < tokens.size();) {
    const size_t count = std::min<size_t>(limits_.prefill_chunk, tokens.size() - done);
    forward(tokens.subspan(done, count), LogitsWanted::kAll);
    sink(static_cast<uint32_t>(done), std::span(logits_).first(count * vocabulary));
    std::copy_n(logits_.end() - static_cast<std::ptrdiff_t>(vocabulary), vocabulary, logits_.begin());
    done += count;
  }
}

std::span<const float> ModelSession::logits() const {
  if (!has_logits_) return {};
  return std::span(logits_).first(model_.config().vocab_size);
}

bool ModelSession::truncate(uint32_t length) {
  if (length > tokens_.size()) return false;
  if (length == tokens_.size()) return true;
  if (length > 0 && length < state_->truncatable_to()) return false;
  state_->truncate(length);
  tokens_.resize(length);
  has_logits_ = false;
  return true;
}

void ModelSession::check(std::span<const TokenId> tokens) const {
  if (tokens.size() > limits_.context_length - tokens_.size()) {
    throw Error(ErrorCode::kTooLarge,
                fmt::format("context: {} tokens and {} more exceed the context length of {}", tokens_.size(),
                            tokens.size(), limits_.context_length));
  }
  const uint32_t vocabulary = model_.config().vocab_size;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && static_cast<uint32_t>(tokens[i]) < vocabulary) continue;
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("token {}: id {} is outside the vocabulary [0, {})", i, tokens[i], vocabulary));
  }
}

// If the model throws, it leaves the state as it was, and tokens_ with it.
void ModelSession::forward(std::span<const TokenId> chunk, LogitsWanted wanted) {
  has_logits_ = false;
  const SequenceStep step{state_.get(), chunk, wanted};
  const size_t rows = wanted == LogitsWanted::kAll ? chunk.size() : (wanted == LogitsWanted::kLast ? 1 : 0);
  logits_.resize(rows * model_.config().vocab_size);
  tokens_.reserve(tokens_.size() + chunk.size());
  model_.forward(workspace_, {&step, 1}, logits_);
  tokens_.insert(tokens_.end(), chunk.begin(), chunk.end());
  has_logits_ = wanted != LogitsWanted::kNone;
}

}  // namespace mach
