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

#include "base/byte_cursor.h"

namespace mach {

inline constexpr uint32_t kStateVersion = 1;

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
  class Checksum;

  void hand_over();

  Sink sink_;
  std::unique_ptr<Checksum> checksum_;  // of what the sink has got
  std::vector<std::byte> out_;
};

class StateReader {
 public:
  // `bytes` and `name` (for errors, e.g. a path) must outlive the reader.
  StateReader(std::span<const std::byte> bytes, std::string_view name);

  uint64_t number(std::string_view what);
  // A number that is 32-bit and counts things of at least `each_bytes` bytes that follow.
  uint32_t count(uint64_t each_bytes, std::string_view what);
  std::span<const std::byte> bytes(uint64_t size, std::string_view what) { return cursor_.take(size, what); }

  void expect(uint64_t value, std::string_view what);
  void expect_text(std::string_view value);
  void expect_end();

  [[noreturn]] void fail(const std::string& what) const;

 private:
  std::string_view name_;
  ByteCursor cursor_;
};

}  // namespace mach
