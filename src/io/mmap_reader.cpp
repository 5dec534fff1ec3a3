// Copies out of mappings, page fault by page fault: what serving from a mapped file amounts to.
#include <algorithm>
#include <cstring>
#include <vector>

#include "mach/error.h"

#include "base/mapped_file.h"
#include "io/readers.h"

namespace mach {
namespace {

class MmapReader final : public FileReader {
 public:
  explicit MmapReader(const ReadFiles& files) : files_(files) {
    maps_.reserve(files.count());
    for (size_t i = 0; i < files.count(); ++i) maps_.push_back(MappedFile::open(files.path(i)));
  }

  void read(size_t file, std::span<const ReadPart> parts) override {
    files_.check_unchanged(file);  // a page behind a new end would end the process
    const auto bytes = maps_[file].bytes();
    for (const ReadPart& part : parts) {
      if (part.offset > bytes.size() || part.wanted > bytes.size() - part.offset) {
        throw Error(ErrorCode::kIo, files_.path(file).string() + " ends before byte " +
                                        std::to_string(part.offset + part.wanted));
      }
      const auto source = bytes.subspan(part.offset, std::min(part.into.size(), bytes.size() - part.offset));
      std::memcpy(part.into.data(), source.data(), source.size());
      maps_[file].advise(Access::kDontNeed, source);
    }
  }

 private:
  const ReadFiles& files_;
  std::vector<MappedFile> maps_;
};

}  // namespace

std::unique_ptr<FileReader> make_mmap_reader(const ReadFiles& files, ReaderMemory /*memory*/) {
  return std::make_unique<MmapReader>(files);
}

}  // namespace mach
