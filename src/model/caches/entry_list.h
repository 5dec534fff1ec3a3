// Rows that are only ever appended at the end or dropped from it: the compressed entries of a layer. They lie in
// reference-counted blocks, so a snapshot shares them; the first write into a shared, partly filled block copies it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/function_ref.h"

namespace mach {

class StateWriter;
class StateReader;

class EntryList {
 public:
  static constexpr uint32_t kBlockEntries = 64;

  explicit EntryList(size_t row_bytes) noexcept : row_bytes_(row_bytes) {}

  uint32_t size() const noexcept { return size_; }
  const std::byte* row(uint32_t i) const noexcept {
    return blocks_[i / kBlockEntries]->data() + row_bytes_ * (i % kBlockEntries);
  }
  // Makes room for entries up to `size`, contents undefined; or drops those from `size` on.
  void resize(uint32_t size);
  std::byte* writable_row(uint32_t i) noexcept { return const_cast<std::byte*>(row(i)); }

  void visit_memory(FunctionRef<void(const void* piece, uint64_t bytes)> visit) const {
    for (const auto& block : blocks_) visit(block.get(), block->size());
  }
  uint64_t bytes() const noexcept { return blocks_.size() * row_bytes_ * kBlockEntries; }
  void save(StateWriter& writer) const;
  void load(StateReader& reader, uint32_t size, std::string_view what);

 private:
  using Block = std::vector<std::byte>;

  size_t row_bytes_;
  uint32_t size_ = 0;
  std::vector<std::shared_ptr<Block>> blocks_;
};

}  // namespace mach
