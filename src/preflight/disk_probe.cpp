#include "preflight/disk_probe.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <mutex>
#include <random>
#include <system_error>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "mach/error.h"

#include "base/aligned_buffer.h"
#include "base/fd.h"

namespace mach {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kSector = 4096;  // offset, length and address of a direct read are multiples of it

struct ProbedFile {
  fs::path path;
  uint64_t reads = 0;  // whole reads that the file holds
};

std::vector<ProbedFile> large_files(const fs::path& folder, uint64_t read_bytes) {
  std::vector<ProbedFile> files;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    const uint64_t size = entry->is_regular_file(ignored) ? entry->file_size(ignored) : 0;
    if (!ignored && size >= read_bytes) files.push_back({entry->path(), size / read_bytes});
  }
  if (files.empty()) {
    throw Error(ErrorCode::kNotFound, folder.string() + " has no file of at least " +
                                          std::to_string(read_bytes) + " bytes to read");
  }
  return files;
}

// One lane: random reads until time is up.
class Lane {
 public:
  Lane(const std::vector<ProbedFile>& files, const DiskProbeOptions& options, uint32_t seed, bool direct)
      : options_(options), buffer_(options.read_bytes, kSector), random_(seed) {
    for (const ProbedFile& file : files) {
      files_.push_back(open_file(file.path, O_RDONLY | (direct ? O_DIRECT : 0)));
      reads_.push_back(file.reads);
      if (!direct) ::posix_fadvise(files_.back().get(), 0, 0, POSIX_FADV_DONTNEED);
    }
  }

  uint64_t run(Clock::time_point end) {
    std::discrete_distribution<size_t> pick_file(reads_.begin(), reads_.end());
    uint64_t bytes = 0;
    while (Clock::now() < end) {
      const size_t file = pick_file(random_);
      const uint64_t place = std::uniform_int_distribution<uint64_t>(0, reads_[file] - 1)(random_);
      const auto got = ::pread(files_[file].get(), buffer_.data(), options_.read_bytes,
                               static_cast<off_t>(place * options_.read_bytes));
      if (got < 0 && errno != EINTR)
        throw Error(ErrorCode::kIo, std::string("disk probe: read failed: ") + std::strerror(errno));
      bytes += got > 0 ? static_cast<uint64_t>(got) : 0;
    }
    return bytes;
  }

 private:
  const DiskProbeOptions& options_;
  AlignedBuffer buffer_;
  std::mt19937_64 random_;
  std::vector<Fd> files_;
  std::vector<uint64_t> reads_;
};

bool opens_direct(const fs::path& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  if (!fd.valid()) return false;
  AlignedBuffer sector(kSector, kSector);
  return ::pread(fd.get(), sector.data(), kSector, 0) >= 0;
}

}  // namespace

bool direct_io_works(const fs::path& folder) {
  return opens_direct(large_files(folder, kSector).front().path);
}

DiskRate probe_disk(const fs::path& folder, const DiskProbeOptions& options) {
  const std::vector<ProbedFile> files = large_files(folder, options.read_bytes);
  DiskRate rate{.direct = opens_direct(files.front().path)};
  std::atomic<uint64_t> bytes{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto begin = Clock::now();
  std::vector<std::thread> lanes;
  for (uint32_t i = 0; i < options.lanes; ++i) {
    lanes.emplace_back([&, i] {
      try {
        bytes += Lane(files, options, i + 1, rate.direct).run(begin + options.duration);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
      }
    });
  }
  for (std::thread& lane : lanes) lane.join();
  if (failure) std::rethrow_exception(failure);
  rate.bytes = bytes;
  rate.bytes_per_second =
      static_cast<double>(rate.bytes) / std::chrono::duration<double>(Clock::now() - begin).count();
  return rate;
}

}  // namespace mach
