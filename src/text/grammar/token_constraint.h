// What may be generated next, as the sampler of one sequence sees it. The loop that owns the sequence asks before each
// token and reports each one it took:
//
//   TokenMask mask = constraint->allowed();     // pass on to Generation::next() / Sampler::sample()
//   constraint->accept(step.id);
//
// A mask always has a token in it as long as the sequence has not ended. Single owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "mach/session.h"

namespace mach {

class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  // Bit i % 32 of word i / 32 says that id i is allowed; ids past its end are not. Empty: every id is allowed. Valid until
  // the next call of anything but a const method.
  virtual std::span<const uint32_t> allowed() = 0;

  // The sequence goes on with this token. Throws Error{kInternal} for one that was not allowed.
  virtual void accept(TokenId id) = 0;

  // Takes back the last tokens, at most grammar::kMaxRollback.
  virtual void rollback(size_t tokens) = 0;

  // The text is one that was asked for: ending here leaves nothing incomplete.
  virtual bool can_stop() const = 0;

  // A constraint of its own that stands at the same place.
  virtual std::unique_ptr<TokenConstraint> clone() const = 0;
};

}  // namespace mach
