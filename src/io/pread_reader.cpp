// pread, directly or through the page cache.
#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "mach/error.h"

#include "base/aligned_buffer.h"
#include "base/errno_error.h"
#include "io/readers.h"

namespace mach {
namespace {

[[noreturn]] void fail_short(const std::filesystem::path& path, uint64_t end) {
  throw Error(ErrorCode::kIo, path.string() + " ends before byte " + std::to_string(end));
}

// A direct read that the end of the file cuts short is whole.
void read_part(const Fd& fd, const ReadPart& part, const std::filesystem::path& path) {
  uint64_t done = 0;
  uint64_t reached = 0;
  while (done < part.wanted) {
    const ssize_t n = ::pread(fd.get(), part.into.data() + done, part.into.size() - done,
                              static_cast<off_t>(part.offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw errno_error("cannot read " + path.string(), errno);
    // What remains must stay aligned, so after a short read some bytes are read again; at the end of the file no more come.
    const uint64_t end = done + static_cast<uint64_t>(n);
    if (end < part.wanted && end <= reached) fail_short(path, part.offset + part.wanted);
    reached = end;
    done = end < part.wanted ? end - end % kDirectIoAlignment : end;
  }
}

class DirectReader final : public FileReader {
 public:
  explicit DirectReader(const ReadFiles& files) : files_(files) {}
  void read(size_t file, std::span<const ReadPart> parts) override {
    for (const ReadPart& part : parts) read_part(files_.direct(file), part, files_.path(file));
  }

 private:
  const ReadFiles& files_;
};

// The expert bank is the cache, so a second copy in the page cache would only push other things out.
class BufferedReader final : public FileReader {
 public:
  explicit BufferedReader(const ReadFiles& files) : files_(files) {}
  void read(size_t file, std::span<const ReadPart> parts) override {
    const Fd& fd = files_.buffered(file);
    for (const ReadPart& part : parts) {
      ::posix_fadvise(fd.get(), static_cast<off_t>(part.offset), static_cast<off_t>(part.into.size()),
                      POSIX_FADV_WILLNEED);
    }
    for (const ReadPart& part : parts) {
      read_part(fd, part, files_.path(file));
      ::posix_fadvise(fd.get(), static_cast<off_t>(part.offset), static_cast<off_t>(part.into.size()),
                      POSIX_FADV_DONTNEED);
    }
  }

 private:
  const ReadFiles& files_;
};

}  // namespace

std::unique_ptr<FileReader> make_pread_reader(const ReadFiles& files, ReaderMemory /*memory*/) {
  return files.all_direct() ? std::make_unique<DirectReader>(files) : nullptr;
}

std::unique_ptr<FileReader> make_buffered_reader(const ReadFiles& files, ReaderMemory /*memory*/) {
  return std::make_unique<BufferedReader>(files);
}

}  // namespace mach
