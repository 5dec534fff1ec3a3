#include "io/file_reader.h"

#include "io/readers.h"

namespace mach {
namespace {

struct ReaderRow {
  ReaderKind kind;
  std::string_view name;
  std::unique_ptr<FileReader> (*make)(const ReadFiles& files, ReaderMemory memory);
};

// In enum order.
constexpr std::array<ReaderRow, kReaderKinds.size()> kReaders = {{
    {ReaderKind::kUring, "uring", make_uring_reader},
    {ReaderKind::kPread, "pread", make_pread_reader},
    {ReaderKind::kBuffered, "buffered", make_buffered_reader},
    {ReaderKind::kMmap, "mmap", make_mmap_reader},
}};

}  // namespace

std::string_view reader_name(ReaderKind kind) noexcept { return kReaders[static_cast<size_t>(kind)].name; }

std::optional<ReaderKind> find_reader(std::string_view name) noexcept {
  for (const ReaderRow& row : kReaders) {
    if (row.name == name) return row.kind;
  }
  return std::nullopt;
}

std::unique_ptr<FileReader> make_reader(ReaderKind kind, const ReadFiles& files, ReaderMemory memory) {
  return kReaders[static_cast<size_t>(kind)].make(files, memory);
}

}  // namespace mach
