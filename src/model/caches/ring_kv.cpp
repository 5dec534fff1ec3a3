#include "model/caches/ring_kv.h"

#include <algorithm>

#include "mach/error.h"

#include "model/state_io.h"

namespace mach {
namespace {

constexpr std::string_view kTag = "ring_kv";

// Staging rows of decode steps stay allocated between passes; those of a prompt chunk are given back.
constexpr uint32_t kKeptStagingTokens = 32;

}  // namespace

struct RingKv::Snapshot final : LayerSnapshot {
  KvShape shape;
  uint32_t window = 0;
  uint32_t first = 0;
  uint32_t length = 0;
  KvRows rows;
  uint64_t bytes() const noexcept override { return rows.bytes(); }
  uint32_t truncatable_to() const noexcept override { return first == 0 ? 0 : first + window - 1; }
  void visit_memory(FunctionRef<void(const void*, uint64_t)> visit) const override {
    visit(this, rows.bytes());
  }
};

RingKv::RingKv(const KvShape& shape, uint32_t window, uint32_t rollback)
    : KvCache(shape), window_(window), capacity_(std::max(window - 1 + rollback, 1U)) {}

void RingKv::stage(uint32_t tokens) {
  if (ring_.tokens() == 0) ring_ = KvRows(shape_, capacity_);
  if (pending_.tokens() < tokens) pending_ = KvRows(shape_, std::max(tokens, kKeptStagingTokens));
  staged_ = tokens;
}

void RingKv::write(const KernelSet& kernels, uint32_t position, std::span<const float> k,
                   std::span<const float> v) noexcept {
  pending_.write(kernels, position - length_, k, v);
}

void RingKv::runs(uint32_t begin, uint32_t end, std::vector<KvRun>& out) const {
  const uint32_t past_end = std::min(end, length_);
  while (begin < past_end) {
    const uint32_t slot = begin % capacity_;
    const uint32_t count = std::min(past_end - begin, capacity_ - slot);
    out.push_back(ring_.run(slot, count, begin));
    begin += count;
  }
  if (begin < end) out.push_back(pending_.run(begin - length_, end - begin, begin));
}

void RingKv::put(const KvRows& source, uint32_t source_slot, uint32_t position, uint32_t count) noexcept {
  while (count > 0) {
    const uint32_t slot = position % capacity_;
    const uint32_t part = std::min(count, capacity_ - slot);
    ring_.copy_from(source, source_slot, slot, part);
    source_slot += part;
    position += part;
    count -= part;
  }
}

void RingKv::commit() noexcept {
  const uint32_t kept = std::min(staged_, capacity_);
  put(pending_, staged_ - kept, length_ + staged_ - kept, kept);
  length_ += staged_;
  staged_ = 0;
  // Slots of positions beyond a truncated length hold what they overwrote no more, so this never falls.
  if (length_ > capacity_) oldest_ = std::max(oldest_, length_ - capacity_);
  if (pending_.tokens() > kKeptStagingTokens) pending_ = KvRows();
}

void RingKv::truncate(uint32_t length) {
  length_ = length;
  staged_ = 0;
  if (length == 0) oldest_ = 0;
}

uint32_t RingKv::first_needed() const noexcept {
  return std::max(oldest_, length_ >= window_ ? length_ - (window_ - 1) : 0);
}

KvRows RingKv::needed_rows() const {
  const uint32_t first = first_needed();
  KvRows rows(shape_, length_ - first);
  for (uint32_t position = first; position < length_;) {
    const uint32_t slot = position % capacity_;
    const uint32_t count = std::min(length_ - position, capacity_ - slot);
    rows.copy_from(ring_, slot, position - first, count);
    position += count;
  }
  return rows;
}

void RingKv::take_rows(const KvRows& rows, uint32_t first, uint32_t length) noexcept {
  put(rows, 0, first, length - first);
  length_ = length;
  oldest_ = first;
  staged_ = 0;
}

std::unique_ptr<LayerSnapshot> RingKv::snapshot() const {
  auto copy = std::make_unique<Snapshot>();
  copy->shape = shape_;
  copy->window = window_;
  copy->first = first_needed();
  copy->length = length_;
  copy->rows = needed_rows();
  return copy;
}

void RingKv::restore(const LayerSnapshot& snapshot) {
  const auto* from = dynamic_cast<const Snapshot*>(&snapshot);
  if (from == nullptr || from->shape != shape_ || from->window != window_) {
    throw Error(ErrorCode::kInternal, "sliding KV cache: snapshot of another kind of cache");
  }
  stage(0);
  take_rows(from->rows, from->first, from->length);
}

void RingKv::save(StateWriter& writer) const {
  writer.text(kTag);
  save_shape(writer, shape_);
  writer.number(window_);
  writer.number(first_needed());
  writer.number(length_);
  const KvRows rows = needed_rows();
  rows.save(writer, 0, rows.tokens());
}

void RingKv::load(StateReader& reader) {
  reader.expect_text(kTag);
  check_shape(reader, shape_);
  reader.expect(window_, "window");
  const uint32_t first = reader.count(0, "first position");
  const uint32_t length = reader.count(0, "length");
  // Fewer rows than the window shows are right only from position 0 on or after a restore of as many.
  if (length < first || length - first > window_ - 1 || (first > 0 && length - first != window_ - 1)) {
    reader.fail("sliding window: positions " + std::to_string(first) + " to " + std::to_string(length));
  }
  KvRows rows(shape_, length - first);
  rows.load(reader, 0, length - first);
  stage(0);
  take_rows(rows, first, length);
}

}  // namespace mach
