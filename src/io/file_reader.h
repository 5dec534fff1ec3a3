// Ways to get many large pieces of open files into memory. Which is fastest depends on the drive and on what the system
// allows, so there are several behind one interface; io/reader_probe.h measures and chooses.
//
//   uring     io_uring with O_DIRECT, all pieces in flight together
//   pread     pread with O_DIRECT, one piece after the other
//   buffered  pread through the page cache, which is told to drop the pages again
//   mmap      copies out of a mapping, for comparison: page faults pace it
//
// One thread uses a reader at a time; parallelism comes from several readers, one per thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "io/read_files.h"

namespace mach {

enum class ReaderKind : uint8_t { kUring, kPread, kBuffered, kMmap };
inline constexpr std::array<ReaderKind, 4> kReaderKinds = {ReaderKind::kUring, ReaderKind::kPread,
                                                           ReaderKind::kBuffered, ReaderKind::kMmap};
std::string_view reader_name(ReaderKind kind) noexcept;  // "uring", "pread", "buffered", "mmap"
std::optional<ReaderKind> find_reader(std::string_view name) noexcept;

// `offset`, into.data() and into.size() are multiples of kDirectIoAlignment. The first `wanted` bytes must arrive; what
// is behind them may lie past the end of the file.
struct ReadPart {
  uint64_t offset = 0;
  std::span<std::byte> into;
  uint64_t wanted = 0;
};

class FileReader {
 public:
  FileReader() = default;
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;
  virtual ~FileReader() = default;

  // All parts of one file. Throws kIo naming the file, also when it is shorter; nothing is in flight afterwards.
  virtual void read(size_t file, std::span<const ReadPart> parts) = 0;
};

// A reader of this kind over `files`, which outlives it. Null where the system cannot: io_uring is refused, or O_DIRECT.
// `memory` is where most reads will go; a reader may register it with the kernel.
std::unique_ptr<FileReader> make_reader(ReaderKind kind, const ReadFiles& files,
                                        std::span<const std::span<std::byte>> memory = {});

}  // namespace mach
