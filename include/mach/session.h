// A Session is one mutable timeline of a loaded Engine: the tokens so far, what the model remembers of them,
// and the logits of the last one. Single owner; different sessions of one engine may not run at the same time
// (the engine owns one set of compute threads), which a server's engine loop arranges.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace mach {

using TokenId = int32_t;

// Called between prompt chunks with tokens done and in total; returning false stops (Error{kCancelled}).
using PrefillProgress = std::function<bool(uint32_t done, uint32_t total)>;

class Session {
 public:
  virtual ~Session() = default;

  // Appends tokens and computes the logits after the last. Throws Error{kTooLarge} beyond the context length,
  // Error{kInvalidRequest} for ids outside the vocabulary; the session then stands at the last whole chunk.
  virtual void append(std::span<const TokenId> tokens, const PrefillProgress& progress = {}) = 0;

  // [vocab_size] fp32, of the last appended token. Valid until the next append.
  virtual std::span<const float> logits() const = 0;

  virtual std::span<const TokenId> tokens() const = 0;
  virtual uint32_t context_length() const = 0;

  // Goes back to `length` tokens if the caches can; false (and nothing changed) when they cannot.
  virtual bool truncate(uint32_t length) = 0;
};

}  // namespace mach
