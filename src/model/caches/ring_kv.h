// Keys and values of a sliding-window layer. A query sees the last `window` positions, its own included, so
// the ring keeps window - 1 past rows, and `rollback` more so that truncate() can go back that far from the
// furthest length ever committed. Position p lies in slot p mod capacity, capacity = window - 1 + rollback.
// The rows of a pass lie beside the ring until commit(): a long chunk overwrites rows that its own queries
// still see, and a pass that fails must leave the ring as it was.
#pragma once

#include <memory>
#include <vector>

#include "model/caches/kv_cache.h"

namespace mach {

class RingKv final : public KvCache {
 public:
  // window >= 1.
  RingKv(const KvShape& shape, uint32_t window, uint32_t rollback);

  uint32_t window() const noexcept { return window_; }

  void stage(uint32_t tokens) override;
  void write(const KernelSet& kernels, uint32_t position, std::span<const float> k,
             std::span<const float> v) noexcept override;
  // begin may lie at most window - 1 before the first staged position.
  void runs(uint32_t begin, uint32_t end, std::vector<KvRun>& out) const override;

  void commit() noexcept override;
  void discard() noexcept override { staged_ = 0; }

  uint32_t length() const noexcept override { return length_; }
  uint32_t truncatable_to() const noexcept override { return oldest_ == 0 ? 0 : oldest_ + window_ - 1; }
  void truncate(uint32_t length) override;
  std::unique_ptr<LayerSnapshot> snapshot() const override;
  void restore(const LayerSnapshot& snapshot) override;
  uint64_t bytes() const noexcept override { return ring_.bytes() + pending_.bytes(); }
  void save(StateWriter& writer) const override;
  void load(StateReader& reader) override;

 private:
  struct Snapshot;

  uint32_t first_needed() const noexcept;  // oldest position that the next query sees
  KvRows needed_rows() const;              // [first_needed(), length()), compact
  void take_rows(const KvRows& rows, uint32_t first, uint32_t length) noexcept;
  void put(const KvRows& source, uint32_t source_slot, uint32_t position, uint32_t count) noexcept;

  const uint32_t window_;
  const uint32_t capacity_;
  KvRows ring_;     // allocated by the first stage()
  KvRows pending_;  // staged rows, from slot 0
  uint32_t length_ = 0;
  uint32_t oldest_ = 0;  // every position in [oldest_, length_) is held
  uint32_t staged_ = 0;
};

}  // namespace mach
