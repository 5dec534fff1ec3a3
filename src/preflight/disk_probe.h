// How fast a folder's disk delivers the kind of reads that expert streaming makes: a few at a time, each about one expert,
// at scattered places of the model's own files, past the page cache where the file system allows it. Reads only.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>

namespace mach {

struct DiskProbeOptions {
  std::chrono::milliseconds duration{2000};
  uint32_t lanes = 4;  // reads in flight
  uint64_t read_bytes =
      uint64_t{2} << 20;  // of one read; between the experts of published models (2 to 13 MB) and pages
};

struct DiskRate {
  double bytes_per_second = 0.0;
  uint64_t bytes = 0;   // read in all
  bool direct = false;  // O_DIRECT; otherwise cached pages were dropped first as far as the kernel lets one
};

// Throws Error{kNotFound} where the folder has no file of at least one read, kIo.
DiskRate probe_disk(const std::filesystem::path& folder, const DiskProbeOptions& options);

// Whether files of the folder open with O_DIRECT. Throws as above.
bool direct_io_works(const std::filesystem::path& folder);

}  // namespace mach
