// The Session over a Model: one SequenceState, the tokens in it, and the logits of the last one. Prompts go through
// the model in chunks, so that progress can be shown and a caller can stop between them. Sessions of one engine share
// its Workspace, so only one may run at a time. Single owner.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "mach/session.h"

#include "model/model.h"

namespace mach {

// Gets the logits of tokens first, first + 1, ... of one append as rows [n, vocab_size]; valid during the call.
using LogitRowsSink = std::function<void(uint32_t first, std::span<const float> rows)>;

struct SessionLimits {
  uint32_t context_length = 0;   // tokens a session may hold
  uint32_t prefill_chunk = 512;  // tokens per forward pass
};

class ModelSession final : public Session {
 public:
  // Model and workspace must outlive the session.
  ModelSession(const Model& model, Workspace& workspace, const SessionLimits& limits);

  void append(std::span<const TokenId> tokens, const PrefillProgress& progress = {}) override;

  // append() that also hands out the logits of every token, a chunk at a time: for scoring a given text.
  void append_scored(std::span<const TokenId> tokens, const LogitRowsSink& sink);

  // Empty before the first append, and after truncate() or an append that threw.
  std::span<const float> logits() const override;
  std::span<const TokenId> tokens() const override { return tokens_; }
  uint32_t context_length() const override { return limits_.context_length; }
  bool truncate(uint32_t length) override;

  uint64_t state_bytes() const noexcept { return state_->bytes(); }

 private:
  void check(std::span<const TokenId> tokens) const;
  void forward(std::span<const TokenId> chunk, LogitsWanted wanted);

  const Model& model_;
  Workspace& workspace_;
  const SessionLimits limits_;
  std::unique_ptr<SequenceState> state_;
  std::vector<TokenId> tokens_;  // as many as the state's length after every call
  std::vector<float> logits_;
  bool has_logits_ = false;
};

}  // namespace mach
