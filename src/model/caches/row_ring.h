// The last rows of a sequence, one per token, in a ring: row p lies in slot p mod capacity. What a layer needs of the
// past plus what truncate() may have to find again. The rows of a pass stay where the graph made them until seal(), which
// copies what commit() will put into the ring. Rows are bytes of a fixed size; what is in them is the owner's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace mach {

class StateWriter;
class StateReader;

class RowRing {
 public:
  // Consecutive rows in memory, `stride` = row_bytes.
  struct Run {
    const std::byte* rows = nullptr;
    uint32_t count = 0;
  };

  // `needed`: rows that the next token may look back at; `rollback`: how far truncate() can go.
  RowRing(size_t row_bytes, uint32_t needed, uint32_t rollback) noexcept
      : row_bytes_(row_bytes), needed_(needed), capacity_(needed + rollback) {}

  // Rows of positions length() .. length() + count - 1, valid until seal().
  void attach(const std::byte* rows, uint32_t count);
  void seal();
  void commit() noexcept;
  void discard() noexcept;

  uint32_t length() const noexcept { return length_; }
  uint32_t staged() const noexcept { return staged_; }
  // Every position from here to length() is held.
  uint32_t oldest() const noexcept { return oldest_; }

  // A held or attached row.
  const std::byte* row(uint32_t position) const noexcept;
  // Appends the rows [begin, end), all held or attached, as few runs as there are.
  void runs(uint32_t begin, uint32_t end, std::vector<Run>& out) const;

  void truncate(uint32_t length) noexcept;
  uint64_t bytes() const noexcept { return ring_.size() + tail_.size(); }

  // The needed rows before length(), compact, and back.
  uint32_t first_needed() const noexcept;
  std::vector<std::byte> needed_rows() const;
  void restore(uint32_t first, uint32_t length, std::span<const std::byte> rows);

  void save(StateWriter& writer) const;
  void load(StateReader& reader, std::string_view what);

 private:
  void put(const std::byte* rows, uint32_t position, uint32_t count) noexcept;

  size_t row_bytes_;
  uint32_t needed_;
  uint32_t capacity_;
  std::vector<std::byte> ring_;  // allocated by the first attach()
  std::vector<std::byte> tail_;  // of the pass, after seal()
  const std::byte* attached_ = nullptr;
  uint32_t length_ = 0;
  uint32_t oldest_ = 0;
  uint32_t staged_ = 0;
};

}  // namespace mach
