// The memory of one sequence: a cache per layer, all at the same length after every forward pass. Value of
// the model layer's narrow waist: an engine creates states, hands them to Model::forward, truncates,
// snapshots and saves them. Single owner: the engine thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/layer_cache.h"

namespace mach {

class StateSnapshot {
 public:
  uint32_t length = 0;
  std::vector<std::unique_ptr<LayerSnapshot>> layers;
  uint64_t bytes() const noexcept;

  // See LayerSnapshot.
  uint32_t truncatable_to() const noexcept;
  void visit_memory(FunctionRef<void(const void* piece, uint64_t bytes)> visit) const;
};

class SequenceState {
 public:
  explicit SequenceState(std::vector<std::unique_ptr<LayerCache>> layers) : layers_(std::move(layers)) {}

  uint32_t length() const noexcept;

  // End of a pass, see LayerCache.
  void commit() noexcept;
  void discard() noexcept;

  // See LayerCache: the largest of the layers' bounds. Length 0 can always be reached.
  uint32_t truncatable_to() const noexcept;
  bool keeps_every_position() const noexcept;
  void truncate(uint32_t length);

  StateSnapshot snapshot() const;
  void restore(const StateSnapshot& snapshot);

  uint64_t bytes() const noexcept;

  // A self-describing blob that load() of a state of the same model accepts, at any later time. A load() that
  // throws (Error{kCorruptFile}) leaves the state empty.
  void save(StateWriter& writer) const;
  void load(StateReader& reader);

  size_t layer_count() const noexcept { return layers_.size(); }

  // The concrete cache of a layer; a graph knows its class. Layers that share another's cache have none
  // (null).
  template <class Cache>
  Cache& layer(size_t i) {
    return static_cast<Cache&>(*layers_[i]);
  }

 private:
  std::vector<std::unique_ptr<LayerCache>> layers_;
};

}  // namespace mach
