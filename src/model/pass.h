// One forward pass as its graph sees it: the tokens of all sequences as rows, in step order, with positions
// and the rows whose logits are wanted. Linear layers work on all rows at once, attention on each sequence's
// slice. The pass is a transaction over the states: unless commit() is reached, its end discards what the
// layers have staged.
#pragma once

#include <cstdint>
#include <span>

#include "model/caches/kv_cache.h"
#include "model/model.h"
#include "model/scratch_arena.h"

namespace mach {

class Workspace;

// The rows of one sequence in the pass.
struct PassSequence {
  SequenceState* state = nullptr;
  uint32_t first_row = 0;
  uint32_t rows = 0;
  uint32_t position = 0;  // of the first row; the state's length
};

class Pass {
 public:
  // Throws Error{kInvalidRequest} for an id outside the vocabulary or a step without tokens, Error{kInternal}
  // for a missing or repeated state or too little room for the logits.
  Pass(Workspace& workspace, const ModelConfig& config, std::span<const SequenceStep> steps,
       std::span<float> logits);
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;
  ~Pass();

  uint32_t rows() const noexcept { return static_cast<uint32_t>(tokens_.size()); }
  std::span<const int32_t> tokens() const noexcept { return tokens_; }         // [rows]
  std::span<const uint32_t> positions() const noexcept { return positions_; }  // [rows], in their sequences
  std::span<const PassSequence> sequences() const noexcept { return sequences_; }
  std::span<const uint32_t> wanted_rows() const noexcept { return wanted_; }  // ascending
  uint32_t wanted_count() const noexcept { return static_cast<uint32_t>(wanted_.size()); }

  void commit() noexcept;

 private:
  ScratchArena::Frame frame_;  // what the pass takes from the arena lives as long as it
  std::span<PassSequence> sequences_;
  std::span<int32_t> tokens_;
  std::span<uint32_t> positions_;
  std::span<uint32_t> wanted_;
  bool committed_ = false;
};

}  // namespace mach
