#include "preflight/host_profile.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "mach/error.h"

#include "base/aligned_buffer.h"
#include "base/file.h"
#include "io/json.h"

namespace mach {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFileName = "host.json";
constexpr int kVersion = 1;
constexpr uint64_t kMaxBytes = 1U << 20;
constexpr size_t kBandwidthBytes = size_t{384} << 20;  // more than the last-level cache of one machine
constexpr int kPasses = 3;

bool is_rate(const nlohmann::json& value) {
  return value.is_number() && std::isfinite(value.get<double>()) && value.get<double>() > 0.0;
}

std::string device_of(const fs::path& folder) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0) return {};
  return std::to_string(status.st_dev);
}

// Eight running sums: enough independent loads to be bound by memory, plain enough for any compiler to vectorise.
uint64_t sum_words(const uint64_t* words, size_t count) noexcept {
  uint64_t sums[8] = {};
  for (size_t i = 0; i + 8 <= count; i += 8) {
    for (size_t lane = 0; lane < 8; ++lane) sums[lane] += words[i + lane];
  }
  uint64_t total = 0;
  for (const uint64_t sum : sums) total += sum;
  return total;
}

}  // namespace

std::optional<double> HostProfile::disk_rate(const fs::path& folder) const {
  const auto found = disks.find(device_of(folder));
  if (found == disks.end()) return std::nullopt;
  return found->second;
}

void HostProfile::set_disk_rate(const fs::path& folder, double bytes_per_second) {
  if (const std::string device = device_of(folder); !device.empty()) disks[device] = bytes_per_second;
}

std::optional<HostProfile> load_host_profile(const fs::path& cache_root) {
  try {
    const nlohmann::json json = read_json_file(cache_root / kFileName, kMaxBytes);
    if (!json.is_object() || json.value("version", nlohmann::json()) != kVersion) return std::nullopt;
    const auto bandwidth = json.find("memory_bandwidth");
    if (bandwidth == json.end() || !is_rate(*bandwidth)) return std::nullopt;
    HostProfile profile{.memory_bandwidth = bandwidth->get<double>(), .disks = {}};
    const auto disks = json.find("disks");
    if (disks != json.end() && disks->is_object()) {
      for (const auto& [device, rate] : disks->items()) {
        if (is_rate(rate)) profile.disks[device] = rate.get<double>();
      }
    }
    return profile;
  } catch (const Error&) {
    return std::nullopt;
  }
}

void save_host_profile(const fs::path& cache_root, const HostProfile& profile) {
  std::error_code error;
  fs::create_directories(cache_root, error);
  if (error) throw Error(ErrorCode::kIo, "cannot create " + cache_root.string() + ": " + error.message());
  nlohmann::ordered_json json;
  json["version"] = kVersion;
  json["memory_bandwidth"] = profile.memory_bandwidth;
  json["disks"] = profile.disks;
  write_file_atomically(cache_root / kFileName, json.dump(2) + "\n");
}

double measure_memory_bandwidth(uint32_t threads) {
  AlignedBuffer buffer(kBandwidthBytes, kVectorAlignment, PageHint::kHuge);
  std::memset(buffer.data(), 1, buffer.size());
  const auto words = buffer.as<uint64_t>();
  const size_t share = words.size() / threads;
  std::atomic<uint64_t> sink{0};
  double best = 0.0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::thread> workers;
    for (uint32_t t = 0; t < threads; ++t)
      workers.emplace_back([&, t] { sink += sum_words(words.data() + t * share, share); });
    for (std::thread& worker : workers) worker.join();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    best = std::max(best, static_cast<double>(share * threads * sizeof(uint64_t)) / seconds);
  }
  return best;
}

}  // namespace mach
