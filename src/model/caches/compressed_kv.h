// The memory of a DeepSeek V4 attention layer: the latent rows of the window (each is key and value at once), and, in
// compressing layers, one entry per `ratio` tokens, with the projected rows from which open windows will be pooled; CSA
// layers have a second pool for the indexer's keys. Entries of closed windows never change, so truncate() drops what it
// must and finds the raw rows of the last tokens in their ring.
// In a pass: attach rows, close() the windows that the pass completes, read, seal(); then commit() or discard().
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "model/caches/entry_list.h"
#include "model/caches/kv_rows.h"
#include "model/caches/row_ring.h"
#include "model/layer_cache.h"

namespace mach {

struct PoolShape {
  uint32_t ratio = 0;    // tokens per entry
  bool overlap = false;  // an entry also pools the first halves of the window before its own (CSA)
  uint32_t dim = 0;      // of an entry
  KvElement element = KvElement::kF32;
  bool operator==(const PoolShape&) const = default;

  uint32_t width() const noexcept { return overlap ? 2 * dim : dim; }  // of a token's content and of its gate
  size_t raw_bytes() const noexcept { return 2 * size_t{width()} * sizeof(float); }  // content, then gate
  size_t entry_bytes() const noexcept { return kv_row_bytes(element, dim); }
  uint32_t windows_needed() const noexcept { return overlap ? 2 : 1; }
};

class EntryPool {
 public:
  EntryPool(const PoolShape& shape, uint32_t rollback) noexcept
      : shape_(shape),
        raw_(shape.raw_bytes(), shape.ratio * shape.windows_needed(), rollback),
        entries_(shape.entry_bytes()) {}

  const PoolShape& shape() const noexcept { return shape_; }
  uint32_t closed_at(uint32_t length) const noexcept { return length / shape_.ratio; }

  // Raw rows of the pass: [count] of content and gate, fp32. Makes room for the entries that they close and returns how
  // many those are; they are closed_at(length()) ... and their bytes are the caller's to write.
  uint32_t attach(const std::byte* rows, uint32_t count);
  const float* content(uint32_t position) const noexcept {
    return reinterpret_cast<const float*>(raw_.row(position));
  }
  const float* gate(uint32_t position) const noexcept { return content(position) + shape_.width(); }

  const EntryList& entries() const noexcept { return entries_; }
  std::byte* writable_entry(uint32_t i) noexcept { return entries_.writable_row(i); }

  void seal() { raw_.seal(); }
  void commit() noexcept { raw_.commit(); }
  void discard() noexcept;
  uint32_t length() const noexcept { return raw_.length(); }
  uint32_t truncatable_to() const noexcept { return truncatable_to(shape_, raw_.oldest(), length()); }
  // Of a pool of that length whose raw rows begin at `oldest`.
  static uint32_t truncatable_to(const PoolShape& shape, uint32_t oldest, uint32_t length) noexcept;
  void truncate(uint32_t length);
  uint64_t bytes() const noexcept { return raw_.bytes() + entries_.bytes(); }

  RowRing& raw() noexcept { return raw_; }
  const RowRing& raw() const noexcept { return raw_; }
  void restore(const EntryList& entries, uint32_t first, uint32_t length, std::span<const std::byte> rows);
  void save(StateWriter& writer) const;
  void load(StateReader& reader);

 private:
  PoolShape shape_;
  RowRing raw_;
  EntryList entries_;
};

struct CompressedShape {
  uint32_t head_dim = 0;
  uint32_t window = 0;  // visible rows, the query's own included
  KvElement element = KvElement::kF32;
  std::optional<PoolShape> entries, index;
  bool operator==(const CompressedShape&) const = default;

  size_t row_bytes() const noexcept { return kv_row_bytes(element, head_dim); }
};

class CompressedKv final : public LayerCache {
 public:
  CompressedKv(const CompressedShape& shape, uint32_t rollback);

  const CompressedShape& shape() const noexcept { return shape_; }
  RowRing& window() noexcept { return window_; }
  EntryPool* entries() noexcept { return entries_ ? &*entries_ : nullptr; }
  EntryPool* index() noexcept { return index_ ? &*index_ : nullptr; }
  void seal();

  void commit() noexcept override;
  void discard() noexcept override;
  uint32_t length() const noexcept override { return window_.length(); }
  uint32_t truncatable_to() const noexcept override;
  void truncate(uint32_t length) override;
  std::unique_ptr<LayerSnapshot> snapshot() const override;
  void restore(const LayerSnapshot& snapshot) override;
  uint64_t bytes() const noexcept override;
  void save(StateWriter& writer) const override;
  void load(StateReader& reader) override;

 private:
  struct Snapshot;
  const CompressedShape shape_;
  RowRing window_;
  std::optional<EntryPool> entries_, index_;
};

}  // namespace mach
