#include "model/caches/entry_list.h"

#include <algorithm>

#include "model/state_io.h"

namespace mach {

void EntryList::resize(uint32_t size) {
  const uint32_t blocks = (size + kBlockEntries - 1) / kBlockEntries;
  if (size > size_ && size_ % kBlockEntries != 0 && blocks_[size_ / kBlockEntries].use_count() > 1) {
    auto& last = blocks_[size_ / kBlockEntries];
    last = std::make_shared<Block>(*last);
  }
  while (blocks_.size() < blocks) blocks_.push_back(std::make_shared<Block>(row_bytes_ * kBlockEntries));
  blocks_.resize(blocks);
  size_ = size;
}

void EntryList::save(StateWriter& writer) const {
  writer.number(size_);
  for (uint32_t i = 0; i < size_; i += kBlockEntries)
    writer.bytes({row(i), row_bytes_ * std::min(kBlockEntries, size_ - i)});
}

void EntryList::load(StateReader& reader, uint32_t size, std::string_view what) {
  reader.expect(size, what);
  resize(0);
  for (uint32_t i = 0; i < size; i += kBlockEntries) {
    const uint32_t count = std::min(kBlockEntries, size - i);
    const auto bytes = reader.bytes(row_bytes_ * count, what);
    resize(i + count);
    std::copy(bytes.begin(), bytes.end(), writable_row(i));
  }
}

}  // namespace mach
