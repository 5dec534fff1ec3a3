// How fast the disk gives up a file at most: direct reads, in order, by a few threads at once, each block once. What expert
// streaming is compared with.
//   disk_read FILE [block in KiB, default 4096] [threads, default 4]
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include <fcntl.h>

#include "base/aligned_buffer.h"
#include "base/fd.h"

namespace {

using namespace mach;  // NOLINT(google-build-using-namespace): a program, not a header

constexpr size_t kSector = 4096;

// False if the system refuses direct reads of this file.
bool read_blocks(const char* path, uint64_t size, size_t block, size_t threads) {
  std::atomic<uint64_t> next{0};
  std::atomic<bool> failed{false};
  const auto work = [&] {
    const Fd fd(::open(path, O_RDONLY | O_DIRECT | O_CLOEXEC));
    AlignedBuffer buffer(block, kSector);
    for (uint64_t at = next.fetch_add(block); at < size && !failed; at = next.fetch_add(block)) {
      if (!fd.valid() || ::pread(fd.get(), buffer.data(), block, static_cast<off_t>(at)) < 0) failed = true;
    }
  };
  std::vector<std::thread> others;
  for (size_t i = 1; i < threads; ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  return !failed;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: disk_read FILE [block in KiB] [threads]\n");
    return 2;
  }
  const size_t block = (argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 4096) * 1024;
  const size_t threads = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 4;
  if (block == 0 || block % kSector != 0 || threads == 0) {
    std::fprintf(stderr, "disk_read: the block must be a multiple of 4 KiB, threads at least 1\n");
    return 2;
  }
  const Fd fd = open_file(argv[1], O_RDONLY);
  const uint64_t size = file_size(fd, argv[1]);
  const auto start = std::chrono::steady_clock::now();
  if (!read_blocks(argv[1], size, block, threads)) {
    std::fprintf(stderr, "disk_read: %s: direct reads are refused\n", argv[1]);
    return 1;
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%.2f GB in %.2f s: %.3f GB/s (blocks of %zu KiB, %zu threads)\n",
              static_cast<double>(size) * 1e-9, seconds.count(),
              static_cast<double>(size) * 1e-9 / seconds.count(), block / 1024, threads);
  return 0;
}
