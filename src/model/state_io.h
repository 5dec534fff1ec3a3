// The saved form of a SequenceState: "MACHSTAT", a version, what the layers write, and an XXH3-64 checksum of
// all before it. Numbers are u64 little-endian, texts carry their length. Anything that can be read from disk
// later may be damaged or foreign, so the reader checks the checksum first and then every value it is told to
// expect; all failures are Error{kCorruptFile}. Neither class is thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/byte_cursor.h"

namespace mach {

inline constexpr uint32_t kStateVersion = 1;

class StateChecksum;

class StateWriter {
 public:
  using Sink = std::function<void(std::span<const std::byte>)>;

  StateWriter();                    // collects everything
  explicit StateWriter(Sink sink);  // hands it over in pieces of about a megabyte
  ~StateWriter();

  void number(uint64_t value);
  void text(std::string_view value);
  void bytes(std::span<const std::byte> value);

  // Adds the checksum; what was collected, nothing with a sink. The writer is spent.
  std::vector<std::byte> finish();

 private:
  void hand_over();

  Sink sink_;
  std::unique_ptr<StateChecksum> checksum_;  // of what the sink has got
  std::vector<std::byte> out_;
};

class StateReader {
 public:
  // Fills `out` with the bytes from `offset` on, or throws.
  using ReadAt = std::function<void(uint64_t offset, std::span<std::byte> out)>;

  // `bytes` and `name` (for errors, e.g. a path) must outlive the reader.
  StateReader(std::span<const std::byte> bytes, std::string_view name);
  // Of `size` bytes that are read twice, for the checksum and for the content, through `window`, which must outlive the
  // reader: fresh memory for all of them would cost more than reading (base/slab_pool.h). A larger piece gets its own.
  StateReader(ReadAt read, uint64_t size, std::span<std::byte> window, std::string_view name);

  uint64_t number(std::string_view what);
  // A number that is 32-bit and counts things of at least `each_bytes` bytes that follow.
  uint32_t count(uint64_t each_bytes, std::string_view what);
  // Valid until the next call of any member.
  std::span<const std::byte> bytes(uint64_t size, std::string_view what);

  void expect(uint64_t value, std::string_view what);
  void expect_text(std::string_view value);
  void expect_end();

  [[noreturn]] void fail(const std::string& what) const;

 private:
  void begin();
  uint64_t remaining() const noexcept { return body_end_ - window_end_ + cursor_.remaining(); }
  void load_window(uint64_t at_least);

  std::string_view name_;
  ReadAt read_;  // null: everything is in memory
  std::span<std::byte> window_;
  AlignedBuffer larger_;  // in place of the window, once a piece did not fit
  uint64_t body_end_;     // where the checksum is
  uint64_t window_end_;   // where what cursor_ is over ends
  ByteCursor cursor_;
};

}  // namespace mach
