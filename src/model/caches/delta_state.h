// What a Gated DeltaNet layer remembers: one matrix S [key_dim, value_dim] per value head, fp32, and the last taps - 1
// rows that entered the convolution. S cannot be run backwards, so truncate() starts from a copy of an earlier S, the
// base, and replays the updates since then from what they were made of: decay, key and delta of each token.
//
// A pass of at most `rollback` tokens is recorded this way and can be taken back whole, together with the recorded passes
// before it that still fit behind the base; a longer pass makes its end the new base. Snapshots hold S and the window.
// In a pass: stage(), then the graph convolves (window_row), updates S per head and fills the records of each token in
// place, then commit() or discard(). Heads may be updated on different threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/kernel_set.h"
#include "model/layer_cache.h"

namespace mach {

struct DeltaShape {
  uint32_t key_heads = 0, value_heads = 0;
  uint32_t key_dim = 0, value_dim = 0;
  uint32_t channels = 0;  // of the convolution
  uint32_t taps = 0;
  bool operator==(const DeltaShape&) const = default;

  size_t head_floats() const noexcept { return size_t{key_dim} * value_dim; }
  size_t state_floats() const noexcept { return value_heads * head_floats(); }
  size_t window_floats() const noexcept { return size_t{taps - 1} * channels; }
};

class DeltaState final : public LayerCache {
 public:
  DeltaState(const DeltaShape& shape, uint32_t rollback) noexcept : shape_(shape), rollback_(rollback) {}

  // `rows` [tokens * channels] are the pass's rows before the convolution; they are copied. `kernels` replay later.
  void stage(uint32_t tokens, std::span<const float> rows, const KernelSet& kernels);

  // The row that entered the convolution `back` tokens before the pass's first one, 1 <= back < taps.
  const float* window_row(uint32_t back) const noexcept;

  // S of a value head, row-major [key_dim, value_dim].
  float* head(uint32_t value_head) noexcept { return state_.data() + value_head * shape_.head_floats(); }

  // Where the pass's token i is recorded, or null: decay is exp(g).
  float* record_decay(uint32_t i, uint32_t value_head) noexcept;
  float* record_key(uint32_t i, uint32_t key_head) noexcept;
  float* record_delta(uint32_t i, uint32_t value_head) noexcept;

  void commit() noexcept override;
  void discard() noexcept override;

  uint32_t length() const noexcept override { return length_; }
  uint32_t truncatable_to() const noexcept override { return length_ - recorded_; }
  void truncate(uint32_t length) override;
  std::unique_ptr<LayerSnapshot> snapshot() const override;
  void restore(const LayerSnapshot& snapshot) override;
  uint64_t bytes() const noexcept override;
  void save(StateWriter& writer) const override;
  void load(StateReader& reader) override;

 private:
  struct Snapshot;
  using Floats = std::vector<float>;

  void allocate();
  void make_base() noexcept;              // the present becomes the base, nothing is recorded
  void clear() noexcept;                  // length 0
  void replay(uint32_t tokens) noexcept;  // S = base after so many recorded tokens
  std::span<const float> window() const noexcept;

  const DeltaShape shape_;
  const uint32_t rollback_;
  kernel::ScaleAxpy* scale_axpy_ = nullptr;
  uint32_t length_ = 0;
  uint32_t recorded_ = 0;  // tokens between the base and length_
  uint32_t staged_ = 0;
  bool recording_ = false;

  Floats state_, base_;  // [value_heads, key_dim, value_dim]
  Floats rows_;          // [taps - 1 + rollback, channels]: the window at the base, then recorded rows
  Floats next_window_;   // after a pass that is not recorded
  Floats decays_;        // [rollback, value_heads]
  Floats keys_;          // [rollback, key_heads, key_dim]
  Floats deltas_;        // [rollback, value_heads, value_dim]
};

}  // namespace mach
