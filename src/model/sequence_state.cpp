#include "model/sequence_state.h"

#include <algorithm>

#include "mach/error.h"

#include "model/state_io.h"

namespace mach {

uint64_t StateSnapshot::bytes() const noexcept {
  uint64_t sum = 0;
  for (const auto& layer : layers) sum += layer ? layer->bytes() : 0;
  return sum;
}

uint32_t StateSnapshot::truncatable_to() const noexcept {
  uint32_t bound = 0;
  for (const auto& layer : layers) bound = std::max(bound, layer ? layer->truncatable_to() : 0);
  return bound;
}

void StateSnapshot::visit_memory(FunctionRef<void(const void* piece, uint64_t bytes)> visit) const {
  for (const auto& layer : layers) {
    if (layer) layer->visit_memory(visit);
  }
}

uint32_t SequenceState::length() const noexcept {
  for (const auto& layer : layers_) {
    if (layer) return layer->length();
  }
  return 0;
}

void SequenceState::commit() noexcept {
  for (const auto& layer : layers_) {
    if (layer) layer->commit();
  }
}

void SequenceState::discard() noexcept {
  for (const auto& layer : layers_) {
    if (layer) layer->discard();
  }
}

uint32_t SequenceState::truncatable_to() const noexcept {
  uint32_t bound = 0;
  for (const auto& layer : layers_) {
    if (layer) bound = std::max(bound, layer->truncatable_to());
  }
  return bound;
}

bool SequenceState::keeps_every_position() const noexcept {
  return std::all_of(layers_.begin(), layers_.end(),
                     [](const auto& layer) { return !layer || layer->keeps_every_position(); });
}

void SequenceState::truncate(uint32_t length) {
  for (const auto& layer : layers_) {
    if (layer) layer->truncate(length);
  }
}

StateSnapshot SequenceState::snapshot() const {
  StateSnapshot copy;
  copy.length = length();
  copy.layers.reserve(layers_.size());
  for (const auto& layer : layers_) copy.layers.push_back(layer ? layer->snapshot() : nullptr);
  return copy;
}

void SequenceState::restore(const StateSnapshot& snapshot) {
  if (snapshot.layers.size() != layers_.size()) {
    throw Error(ErrorCode::kInternal, "sequence state: snapshot of another model");
  }
  for (size_t i = 0; i < layers_.size(); ++i) {
    if ((layers_[i] == nullptr) != (snapshot.layers[i] == nullptr)) {
      throw Error(ErrorCode::kInternal, "sequence state: snapshot of another model");
    }
    if (layers_[i]) layers_[i]->restore(*snapshot.layers[i]);
  }
}

uint64_t SequenceState::bytes() const noexcept {
  uint64_t sum = 0;
  for (const auto& layer : layers_) sum += layer ? layer->bytes() : 0;
  return sum;
}

void SequenceState::save(StateWriter& writer) const {
  writer.text("layers");
  writer.number(layers_.size());
  for (const auto& layer : layers_) {
    writer.number(layer ? 1 : 0);
    if (layer) layer->save(writer);
  }
}

void SequenceState::load(StateReader& reader) {
  try {
    reader.expect_text("layers");
    reader.expect(layers_.size(), "layer count");
    for (const auto& layer : layers_) {
      reader.expect(layer ? 1 : 0, "layer presence");
      if (layer) layer->load(reader);
      if (layer && layer->length() != length()) reader.fail("layers of different lengths");
    }
  } catch (...) {
    truncate(0);
    throw;
  }
}

}  // namespace mach
