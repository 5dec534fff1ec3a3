#include "model/caches/row_ring.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "model/state_io.h"

namespace mach {

void RowRing::attach(const std::byte* rows, uint32_t count) {
  if (ring_.empty()) ring_.resize(row_bytes_ * capacity_);
  attached_ = rows;
  staged_ = count;
}

void RowRing::seal() {
  const uint32_t kept = std::min(staged_, capacity_);
  if (tail_.size() < row_bytes_ * kept) tail_.resize(row_bytes_ * kept);
  if (kept > 0) std::memcpy(tail_.data(), attached_ + row_bytes_ * (staged_ - kept), row_bytes_ * kept);
  attached_ = nullptr;
}

void RowRing::put(const std::byte* rows, uint32_t position, uint32_t count) noexcept {
  while (count > 0) {
    const uint32_t slot = position % capacity_;
    const uint32_t part = std::min(count, capacity_ - slot);
    std::memcpy(&ring_[row_bytes_ * slot], rows, row_bytes_ * part);
    rows += row_bytes_ * part;
    position += part;
    count -= part;
  }
}

void RowRing::commit() noexcept {
  const uint32_t kept = std::min(staged_, capacity_);
  put(tail_.data(), length_ + staged_ - kept, kept);
  length_ += staged_;
  staged_ = 0;
  // After a truncation the slots beyond hold rows of dropped positions, so this never falls.
  if (length_ > capacity_) oldest_ = std::max(oldest_, length_ - capacity_);
}

void RowRing::discard() noexcept {
  attached_ = nullptr;
  staged_ = 0;
}

const std::byte* RowRing::row(uint32_t position) const noexcept {
  if (position >= length_) return attached_ + row_bytes_ * (position - length_);
  return &ring_[row_bytes_ * (position % capacity_)];
}

void RowRing::runs(uint32_t begin, uint32_t end, std::vector<Run>& out) const {
  const uint32_t past_end = std::min(end, length_);
  while (begin < past_end) {
    const uint32_t slot = begin % capacity_;
    const uint32_t count = std::min(past_end - begin, capacity_ - slot);
    out.push_back({&ring_[row_bytes_ * slot], count});
    begin += count;
  }
  if (begin < end) out.push_back({row(begin), end - begin});
}

void RowRing::truncate(uint32_t length) noexcept {
  length_ = length;
  staged_ = 0;
  if (length == 0) oldest_ = 0;
}

uint32_t RowRing::first_needed() const noexcept {
  return std::max(oldest_, length_ > needed_ ? length_ - needed_ : 0);
}

std::vector<std::byte> RowRing::needed_rows() const {
  std::vector<std::byte> rows;
  std::vector<Run> parts;
  runs(first_needed(), length_, parts);
  for (const Run& part : parts) rows.insert(rows.end(), part.rows, part.rows + row_bytes_ * part.count);
  return rows;
}

void RowRing::restore(uint32_t first, uint32_t length, std::span<const std::byte> rows) {
  if (ring_.empty()) ring_.resize(row_bytes_ * capacity_);
  put(rows.data(), first, length - first);
  length_ = length;
  oldest_ = first;
  staged_ = 0;
}

void RowRing::save(StateWriter& writer) const {
  writer.number(row_bytes_);
  writer.number(needed_);
  writer.number(first_needed());
  writer.number(length_);
  writer.bytes(needed_rows());
}

void RowRing::load(StateReader& reader, std::string_view what) {
  reader.expect(row_bytes_, std::string(what) + " row size");
  reader.expect(needed_, std::string(what) + " row count");
  const uint32_t first = reader.count(0, "first position");
  const uint32_t length = reader.count(0, "length");
  if (first != (length > needed_ ? length - needed_ : 0)) {
    reader.fail(std::string(what) + ": positions " + std::to_string(first) + " to " + std::to_string(length));
  }
  restore(first, length, reader.bytes(row_bytes_ * (length - first), what));
}

}  // namespace mach
