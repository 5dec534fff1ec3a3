#include "model/caches/compressed_kv.h"

#include <algorithm>
#include <string_view>

#include "mach/error.h"

#include "model/state_io.h"

namespace mach {
namespace {

constexpr std::string_view kTag = "compressed_kv";

struct PoolSnapshot {
  EntryList entries;
  uint32_t first = 0;
  std::vector<std::byte> rows;

  explicit PoolSnapshot(const EntryPool& pool)
      : entries(pool.entries()), first(pool.raw().first_needed()), rows(pool.raw().needed_rows()) {}
};

// The smallest length that can be gone back to with window rows from `oldest` on.
uint32_t window_bound(const CompressedShape& shape, uint32_t oldest) noexcept {
  return oldest == 0 ? 0 : oldest + shape.window - 1;
}

void save_pool_shape(StateWriter& writer, const std::optional<PoolShape>& shape) {
  const PoolShape none;
  const PoolShape& s = shape ? *shape : none;
  for (const uint64_t number : {uint64_t{s.ratio}, uint64_t{s.overlap}, uint64_t{s.dim}, uint64_t(s.element)})
    writer.number(number);
}

void check_pool_shape(StateReader& reader, const std::optional<PoolShape>& shape) {
  const PoolShape none;
  const PoolShape& s = shape ? *shape : none;
  reader.expect(s.ratio, "compression ratio");
  reader.expect(s.overlap ? 1 : 0, "overlap");
  reader.expect(s.dim, "entry dimension");
  reader.expect(static_cast<uint64_t>(s.element), "entry element type");
}

}  // namespace

uint32_t EntryPool::attach(const std::byte* rows, uint32_t count) {
  raw_.attach(rows, count);
  const uint32_t before = closed_at(length());
  entries_.resize(closed_at(length() + count));
  return entries_.size() - before;
}

void EntryPool::discard() noexcept {
  raw_.discard();
  entries_.resize(closed_at(length()));  // shrinks: never throws
}

// Continuing from n reads raw rows from the start of n's open window, with overlap of the window before it.
uint32_t EntryPool::truncatable_to(const PoolShape& shape, uint32_t oldest, uint32_t length) noexcept {
  if (oldest == 0) return 0;
  const uint32_t windows = (oldest + shape.ratio - 1) / shape.ratio;
  return std::min(length, (windows + shape.windows_needed() - 1) * shape.ratio);
}

void EntryPool::truncate(uint32_t length) {
  raw_.truncate(length);
  entries_.resize(closed_at(length));
}

void EntryPool::restore(const EntryList& entries, uint32_t first, uint32_t length,
                        std::span<const std::byte> rows) {
  entries_ = entries;
  raw_.restore(first, length, rows);
}

void EntryPool::save(StateWriter& writer) const {
  raw_.save(writer);
  entries_.save(writer);
}

void EntryPool::load(StateReader& reader) {
  raw_.load(reader, "raw rows");
  entries_.load(reader, closed_at(length()), "compressed entries");
}

struct CompressedKv::Snapshot final : LayerSnapshot {
  CompressedShape shape;
  uint32_t length = 0;
  uint32_t first = 0;
  std::vector<std::byte> window;
  std::optional<PoolSnapshot> entries, index;

  uint64_t bytes() const noexcept override {
    return window.size() + (entries ? entries->rows.size() : 0) + (index ? index->rows.size() : 0);
  }
  uint32_t truncatable_to() const noexcept override {
    uint32_t bound = window_bound(shape, first);
    if (entries) bound = std::max(bound, EntryPool::truncatable_to(*shape.entries, entries->first, length));
    if (index) bound = std::max(bound, EntryPool::truncatable_to(*shape.index, index->first, length));
    return std::min(bound, length);
  }
  void visit_memory(FunctionRef<void(const void*, uint64_t)> visit) const override {
    visit(this, bytes());
    if (entries) entries->entries.visit_memory(visit);
    if (index) index->entries.visit_memory(visit);
  }
};

CompressedKv::CompressedKv(const CompressedShape& shape, uint32_t rollback)
    : shape_(shape), window_(shape.row_bytes(), shape.window - 1, rollback) {
  if (shape.entries) entries_.emplace(*shape.entries, rollback);
  if (shape.index) index_.emplace(*shape.index, rollback);
}

void CompressedKv::seal() {
  window_.seal();
  if (entries_) entries_->seal();
  if (index_) index_->seal();
}

void CompressedKv::commit() noexcept {
  window_.commit();
  if (entries_) entries_->commit();
  if (index_) index_->commit();
}

void CompressedKv::discard() noexcept {
  window_.discard();
  if (entries_) entries_->discard();
  if (index_) index_->discard();
}

uint32_t CompressedKv::truncatable_to() const noexcept {
  uint32_t bound = window_bound(shape_, window_.oldest());
  if (entries_) bound = std::max(bound, entries_->truncatable_to());
  if (index_) bound = std::max(bound, index_->truncatable_to());
  return std::min(bound, length());
}

void CompressedKv::truncate(uint32_t length) {
  window_.truncate(length);
  if (entries_) entries_->truncate(length);
  if (index_) index_->truncate(length);
}

std::unique_ptr<LayerSnapshot> CompressedKv::snapshot() const {
  auto copy = std::make_unique<Snapshot>();
  copy->shape = shape_;
  copy->length = length();
  copy->first = window_.first_needed();
  copy->window = window_.needed_rows();
  if (entries_) copy->entries.emplace(*entries_);
  if (index_) copy->index.emplace(*index_);
  return copy;
}

void CompressedKv::restore(const LayerSnapshot& snapshot) {
  const auto* from = dynamic_cast<const Snapshot*>(&snapshot);
  if (from == nullptr || !(from->shape == shape_)) {
    throw Error(ErrorCode::kInternal, "compressed KV cache: snapshot of another kind of cache");
  }
  window_.restore(from->first, from->length, from->window);
  if (entries_)
    entries_->restore(from->entries->entries, from->entries->first, from->length, from->entries->rows);
  if (index_) index_->restore(from->index->entries, from->index->first, from->length, from->index->rows);
}

uint64_t CompressedKv::bytes() const noexcept {
  return window_.bytes() + (entries_ ? entries_->bytes() : 0) + (index_ ? index_->bytes() : 0);
}

void CompressedKv::save(StateWriter& writer) const {
  writer.text(kTag);
  writer.number(shape_.head_dim);
  writer.number(static_cast<uint64_t>(shape_.element));
  save_pool_shape(writer, shape_.entries);
  save_pool_shape(writer, shape_.index);
  window_.save(writer);
  if (entries_) entries_->save(writer);
  if (index_) index_->save(writer);
}

void CompressedKv::load(StateReader& reader) {
  reader.expect_text(kTag);
  reader.expect(shape_.head_dim, "head_dim");
  reader.expect(static_cast<uint64_t>(shape_.element), "element type");
  check_pool_shape(reader, shape_.entries);
  check_pool_shape(reader, shape_.index);
  window_.load(reader, "window rows");
  if (entries_) entries_->load(reader);
  if (index_) index_->load(reader);
  for (const EntryPool* pool : {entries(), index()}) {
    if (pool != nullptr && pool->length() != length()) reader.fail("parts of a layer have different lengths");
  }
}

}  // namespace mach
