// What `mach doctor --save` measured on this machine, kept in CACHE/host.json for the forecasts of `mach check`:
//   {"version": 1, "memory_bandwidth": bytes/s, "disks": {"<device number>": bytes/s}}
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace mach {

struct HostProfile {
  double memory_bandwidth = 0.0;        // bytes per second
  std::map<std::string, double> disks;  // device number of the file system -> bytes per second

  // The rate of the folder's file system, if it was measured.
  std::optional<double> disk_rate(const std::filesystem::path& folder) const;
  void set_disk_rate(const std::filesystem::path& folder, double bytes_per_second);
};

// Empty where there is none, or none that makes sense: it is a cache.
std::optional<HostProfile> load_host_profile(const std::filesystem::path& cache_root);
void save_host_profile(const std::filesystem::path& cache_root, const HostProfile& profile);

// Reads an array larger than the caches with every core, twice; bytes per second of the faster pass. Takes about 0.2 s.
double measure_memory_bandwidth(uint32_t threads);

}  // namespace mach
