#include "model/caches/delta_state.h"

#include <algorithm>
#include <string_view>

#include "mach/error.h"

#include "model/state_io.h"

namespace mach {
namespace {

constexpr std::string_view kTag = "delta_state";

void load_floats(StateReader& reader, std::span<float> out, std::string_view what) {
  const auto bytes = reader.bytes(out.size_bytes(), what);
  std::copy(bytes.begin(), bytes.end(), std::as_writable_bytes(out).begin());
}

}  // namespace

struct DeltaState::Snapshot final : LayerSnapshot {
  DeltaShape shape;
  uint32_t length = 0;
  Floats state, window;
  uint64_t bytes() const noexcept override { return (state.size() + window.size()) * sizeof(float); }
  uint32_t truncatable_to() const noexcept override { return length; }
  void visit_memory(FunctionRef<void(const void*, uint64_t)> visit) const override { visit(this, bytes()); }
};

void DeltaState::allocate() {
  if (!state_.empty()) return;
  state_.assign(shape_.state_floats(), 0.0F);
  base_ = state_;
  rows_.assign(shape_.window_floats() + size_t{rollback_} * shape_.channels, 0.0F);
  next_window_.assign(shape_.window_floats(), 0.0F);
  decays_.resize(size_t{rollback_} * shape_.value_heads);
  keys_.resize(size_t{rollback_} * shape_.key_heads * shape_.key_dim);
  deltas_.resize(size_t{rollback_} * shape_.value_heads * shape_.value_dim);
}

void DeltaState::stage(uint32_t tokens, std::span<const float> rows, const KernelSet& kernels) {
  allocate();
  scale_axpy_ = kernels.scale_axpy;
  if (recorded_ + tokens > rollback_) make_base();
  staged_ = tokens;
  recording_ = tokens <= rollback_;
  if (recording_) {
    std::copy(
        rows.begin(), rows.end(),
        rows_.begin() + static_cast<ptrdiff_t>(shape_.window_floats() + size_t{recorded_} * shape_.channels));
    return;
  }
  // The last taps - 1 of the old window and the pass's rows together.
  const size_t kept = shape_.window_floats() - std::min(shape_.window_floats(), rows.size());
  const auto old = window();
  std::copy(old.end() - static_cast<ptrdiff_t>(kept), old.end(), next_window_.begin());
  std::copy(rows.end() - static_cast<ptrdiff_t>(shape_.window_floats() - kept), rows.end(),
            next_window_.begin() + static_cast<ptrdiff_t>(kept));
}

std::span<const float> DeltaState::window() const noexcept {
  return std::span(rows_).subspan(size_t{recorded_} * shape_.channels, shape_.window_floats());
}

const float* DeltaState::window_row(uint32_t back) const noexcept {
  return window().data() + size_t{shape_.taps - 1 - back} * shape_.channels;
}

float* DeltaState::record_decay(uint32_t i, uint32_t value_head) noexcept {
  return recording_ ? &decays_[size_t{recorded_ + i} * shape_.value_heads + value_head] : nullptr;
}

float* DeltaState::record_key(uint32_t i, uint32_t key_head) noexcept {
  return recording_ ? &keys_[(size_t{recorded_ + i} * shape_.key_heads + key_head) * shape_.key_dim]
                    : nullptr;
}

float* DeltaState::record_delta(uint32_t i, uint32_t value_head) noexcept {
  return recording_ ? &deltas_[(size_t{recorded_ + i} * shape_.value_heads + value_head) * shape_.value_dim]
                    : nullptr;
}

void DeltaState::make_base() noexcept {
  const auto present = window();
  std::copy(present.begin(), present.end(), rows_.begin());  // towards the front: overlap is harmless
  std::copy(state_.begin(), state_.end(), base_.begin());
  recorded_ = 0;
}

void DeltaState::commit() noexcept {
  length_ += staged_;
  if (recording_) {
    recorded_ += staged_;
  } else if (staged_ > 0) {
    std::copy(next_window_.begin(), next_window_.end(), rows_.begin());
    std::copy(state_.begin(), state_.end(), base_.begin());
    recorded_ = 0;
  }
  staged_ = 0;
}

void DeltaState::discard() noexcept {
  if (staged_ > 0) replay(recorded_);
  staged_ = 0;
}

// The same arithmetic as the update itself, so that S is the same to the bit.
void DeltaState::replay(uint32_t tokens) noexcept {
  std::copy(base_.begin(), base_.end(), state_.begin());
  const uint32_t group = shape_.value_heads / shape_.key_heads;
  for (uint32_t t = 0; t < tokens; ++t) {
    for (uint32_t h = 0; h < shape_.value_heads; ++h) {
      const float decay = decays_[size_t{t} * shape_.value_heads + h];
      const float* key = &keys_[(size_t{t} * shape_.key_heads + h / group) * shape_.key_dim];
      const float* delta = &deltas_[(size_t{t} * shape_.value_heads + h) * shape_.value_dim];
      float* row = head(h);
      for (uint32_t i = 0; i < shape_.key_dim; ++i, row += shape_.value_dim)
        scale_axpy_(decay, key[i], delta, shape_.value_dim, row);
    }
  }
}

void DeltaState::clear() noexcept {
  std::fill(state_.begin(), state_.end(), 0.0F);
  std::fill(base_.begin(), base_.end(), 0.0F);
  std::fill(rows_.begin(), rows_.end(), 0.0F);
  length_ = recorded_ = staged_ = 0;
}

void DeltaState::truncate(uint32_t length) {
  if (length == length_) return;
  if (length == 0 && recorded_ < length_) {
    clear();
    return;
  }
  const uint32_t kept = recorded_ - (length_ - length);
  replay(kept);
  recorded_ = kept;
  length_ = length;
}

std::unique_ptr<LayerSnapshot> DeltaState::snapshot() const {
  auto copy = std::make_unique<Snapshot>();
  copy->shape = shape_;
  copy->length = length_;
  copy->state = state_;
  if (!rows_.empty()) copy->window.assign(window().begin(), window().end());
  return copy;
}

void DeltaState::restore(const LayerSnapshot& snapshot) {
  const auto* from = dynamic_cast<const Snapshot*>(&snapshot);
  if (from == nullptr || !(from->shape == shape_)) {
    throw Error(ErrorCode::kInternal, "DeltaNet state: snapshot of another kind of cache");
  }
  allocate();
  clear();
  if (from->state.empty()) return;  // taken before the first token
  state_ = from->state;
  std::copy(from->window.begin(), from->window.end(), rows_.begin());
  make_base();
  length_ = from->length;
}

uint64_t DeltaState::bytes() const noexcept {
  return (state_.size() + base_.size() + rows_.size() + next_window_.size() + decays_.size() + keys_.size() +
          deltas_.size()) *
         sizeof(float);
}

void DeltaState::save(StateWriter& writer) const {
  writer.text(kTag);
  for (const uint32_t number : {shape_.key_heads, shape_.value_heads, shape_.key_dim, shape_.value_dim,
                                shape_.channels, shape_.taps, length_}) {
    writer.number(number);
  }
  if (length_ == 0) return;
  writer.bytes(std::as_bytes(std::span(state_)));
  writer.bytes(std::as_bytes(window()));
}

void DeltaState::load(StateReader& reader) {
  reader.expect_text(kTag);
  reader.expect(shape_.key_heads, "DeltaNet key heads");
  reader.expect(shape_.value_heads, "DeltaNet value heads");
  reader.expect(shape_.key_dim, "DeltaNet key dimension");
  reader.expect(shape_.value_dim, "DeltaNet value dimension");
  reader.expect(shape_.channels, "convolution channels");
  reader.expect(shape_.taps, "convolution taps");
  const uint32_t length = reader.count(0, "length");
  allocate();
  clear();
  if (length == 0) return;
  load_floats(reader, state_, "DeltaNet state");
  load_floats(reader, std::span(rows_).first(shape_.window_floats()), "convolution window");
  std::copy(state_.begin(), state_.end(), base_.begin());
  length_ = length;
}

}  // namespace mach
