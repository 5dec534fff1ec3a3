// What one layer remembers of a sequence. There is one class per kind of memory (paged KV, sliding ring,
// recurrent state, compressed entries); they answer the same questions, so prefix reuse, speculation and
// saving to disk are written once, against this interface. The graph that owns a layer knows its concrete
// class and appends through that. Single owner: the engine thread.
//
// A forward pass is a transaction. The graph stages the effect of its new tokens in each layer (in the way of
// the concrete class); when the whole pass has succeeded, commit() makes it part of the cache, otherwise
// discard() forgets it and the cache is as it was. length(), truncate(), snapshot() and save() see committed
// tokens only and are not called in between.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/function_ref.h"

namespace mach {

class StateWriter;  // model/state_io.h
class StateReader;

// A copy of a cache at one length. Opaque; restore() takes it only from a cache of the same class and shape.
class LayerSnapshot {
 public:
  virtual ~LayerSnapshot() = default;
  virtual uint64_t bytes() const noexcept = 0;  // memory that this snapshot keeps alive alone

  // LayerCache::truncatable_to() of a cache just restored from this.
  virtual uint32_t truncatable_to() const noexcept = 0;

  // Every piece of memory that it keeps alive, once each. Snapshots and caches that share one know it by the same
  // address, so that who holds many snapshots can tell what they take together.
  virtual void visit_memory(FunctionRef<void(const void* piece, uint64_t bytes)> visit) const = 0;
};

class LayerCache {
 public:
  virtual ~LayerCache() = default;

  virtual void commit() noexcept = 0;
  virtual void discard() noexcept = 0;

  // Tokens whose effect is in the cache.
  virtual uint32_t length() const noexcept = 0;

  // The smallest length that truncate() can go back to from here without a snapshot (length() when it cannot
  // at all).
  virtual uint32_t truncatable_to() const noexcept = 0;

  // No matter what was appended, truncatable_to() is 0: one snapshot serves all its prefixes.
  virtual bool keeps_every_position() const noexcept { return false; }

  // Forgets every token from position `length` on. Precondition: length is 0 (always possible) or
  // truncatable_to() <= length <= this->length().
  virtual void truncate(uint32_t length) = 0;

  virtual std::unique_ptr<LayerSnapshot> snapshot() const = 0;
  virtual void restore(const LayerSnapshot& snapshot) = 0;

  // Memory held now, shared blocks counted in full.
  virtual uint64_t bytes() const noexcept = 0;

  // Everything needed to continue from length(), in the versioned form of model/state_io.h. load() throws
  // Error{kCorruptFile} when the bytes do not fit this cache's shape, and may then leave anything in it.
  virtual void save(StateWriter& writer) const = 0;
  virtual void load(StateReader& reader) = 0;
};

}  // namespace mach
