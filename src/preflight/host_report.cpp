#include "preflight/host_report.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <system_error>

#include <fmt/format.h>
#include <liburing.h>
#include <nlohmann/json.hpp>
#include <sys/vfs.h>

#include "mach/error.h"

#include "base/memory_info.h"
#include "preflight/disk_probe.h"

namespace mach {
namespace {

namespace fs = std::filesystem;

constexpr double kGiga = 1e9;

std::string gigabytes(double bytes) { return fmt::format("{:.1f} GB", bytes / kGiga); }

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The chosen word of "always [madvise] never".
std::string bracketed(const std::string& line) {
  const size_t open = line.find('[');
  const size_t close = line.find(']');
  if (open == std::string::npos || close == std::string::npos || close < open) return {};
  return line.substr(open + 1, close - open - 1);
}

class Examination {
 public:
  explicit Examination(const HostQuestions& questions) : questions_(questions) {}

  HostReport run() {
    cpu();
    memory();
    pages();
    io();
    gpu();
    if (questions_.measure) bandwidth();
    for (const fs::path& folder : questions_.folders) examine(folder);
    return std::move(report_);
  }

 private:
  void add(HostFact fact) { report_.facts.push_back(std::move(fact)); }

  void cpu() {
    add({.topic = "cpu",
         .name = "features",
         .value = questions_.cpu_features,
         .number = {},
         .status = FactStatus::kGood,
         .meaning = "instruction sets that mach has kernels for and this machine runs"});
    const bool scalar = questions_.kernel_set == "scalar";
    add({.topic = "cpu",
         .name = "kernel_set",
         .value = questions_.kernel_set,
         .number = {},
         .status = scalar ? FactStatus::kNote : FactStatus::kGood,
         .meaning = scalar ? "no vector kernels for this machine: correct and slow"
                           : "chosen at start; --kernels NAME forces another"});
    add({.topic = "cpu",
         .name = "cores",
         .value = std::to_string(questions_.threads),
         .number = questions_.threads,
         .status = FactStatus::kGood,
         .meaning = "cores this process may run on: the default number of compute threads"});
  }

  void memory() {
    MemoryInfo info;
    try {
      info = read_memory_info(questions_.root);
    } catch (const Error& error) {
      add({.topic = "memory",
           .name = "available",
           .value = "unknown",
           .number = {},
           .status = FactStatus::kProblem,
           .meaning = std::string(error.what()) + ": expert banks cannot be sized by themselves"});
      return;
    }
    add_bytes("memory", "total", info.total, "memory that this process could have");
    add_bytes("memory", "available", info.available,
              "memory that can be taken now: caches and expert bank are sized by it");
    if (info.cgroup_limit)
      add_bytes("memory", "cgroup_limit", *info.cgroup_limit,
                "a control group limits this process; mach keeps below it");
  }

  void add_bytes(const char* topic, const char* name, uint64_t bytes, const char* meaning) {
    add({.topic = topic,
         .name = name,
         .value = gigabytes(static_cast<double>(bytes)),
         .number = static_cast<double>(bytes),
         .status = FactStatus::kGood,
         .meaning = meaning});
  }

  void pages() {
    const std::string mode =
        bracketed(first_line(questions_.root / "sys/kernel/mm/transparent_hugepage/enabled"));
    const bool works = mode == "always" || mode == "madvise";
    add({.topic = "pages",
         .name = "transparent_huge_pages",
         .value = mode.empty() ? "not available" : mode,
         .number = {},
         .status = works ? FactStatus::kGood : FactStatus::kNote,
         .meaning = works ? "weights and caches use 2 MB pages: fewer address translations"
                          : "weights and caches use 4 KB pages: some speed is lost (set it to madvise)"});
  }

  void io() {
    io_uring ring{};
    const int result = ::io_uring_queue_init(2, &ring, 0);
    if (result == 0) ::io_uring_queue_exit(&ring);
    add({.topic = "io",
         .name = "io_uring",
         .value = result == 0 ? "yes" : fmt::format("no ({})", std::strerror(-result)),
         .number = {},
         .status = result == 0 ? FactStatus::kGood : FactStatus::kNote,
         .meaning = result == 0 ? "reads of experts are queued in the kernel"
                                : "the kernel or the container refuses it: a few threads read instead"});
  }

  void gpu() {
    std::error_code error;
    const bool nvidia = fs::exists(questions_.root / "proc/driver/nvidia/version", error);
    const bool amd = fs::exists(questions_.root / "dev/kfd", error);
    add({.topic = "gpu",
         .name = "gpu",
         .value = nvidia ? "NVIDIA"
                  : amd  ? "AMD"
                         : "none",
         .number = {},
         .status = nvidia || amd ? FactStatus::kNote : FactStatus::kGood,
         .meaning = nvidia || amd ? "found, and not used: this version computes on the CPU"
                                  : "mach computes on the CPU"});
  }

  void bandwidth() {
    report_.profile.memory_bandwidth = measure_memory_bandwidth(questions_.threads);
    add({.topic = "memory",
         .name = "read_bandwidth",
         .value = gigabytes(report_.profile.memory_bandwidth) + "/s",
         .number = report_.profile.memory_bandwidth,
         .status = FactStatus::kGood,
         .meaning = "all cores reading: with the bytes per token it bounds decode speed"});
  }

  void examine(const fs::path& folder) {
    const std::string topic = "folder " + folder.string();
    struct statfs status {};
    if (::statfs(folder.c_str(), &status) != 0) {
      add({.topic = topic,
           .name = "folder",
           .value = "not readable",
           .number = {},
           .status = FactStatus::kProblem,
           .meaning = std::strerror(errno)});
      return;
    }
    const double free = static_cast<double>(status.f_bavail) * static_cast<double>(status.f_bsize);
    add({.topic = topic,
         .name = "free_space",
         .value = gigabytes(free),
         .number = free,
         .status = FactStatus::kGood,
         .meaning = "what a download or a conversion may write here"});
    try {
      direct_io(folder, topic);
      if (questions_.measure) disk_rate(folder, topic);
    } catch (const Error& error) {
      add({.topic = topic,
           .name = "files",
           .value = "none to read",
           .number = {},
           .status = FactStatus::kNote,
           .meaning = error.what()});
    }
  }

  void direct_io(const fs::path& folder, const std::string& topic) {
    const bool direct = direct_io_works(folder);
    add({.topic = topic,
         .name = "direct_io",
         .value = direct ? "yes" : "no",
         .number = {},
         .status = direct ? FactStatus::kGood : FactStatus::kNote,
         .meaning = direct ? "experts are read past the page cache"
                           : "the file system refuses O_DIRECT: reads go through the page cache"});
  }

  void disk_rate(const fs::path& folder, const std::string& topic) {
    const DiskRate rate = probe_disk(folder, {});
    report_.profile.set_disk_rate(folder, rate.bytes_per_second);
    add({.topic = topic,
         .name = "read_rate",
         .value = gigabytes(rate.bytes_per_second) + "/s" + (rate.direct ? "" : " (through the page cache)"),
         .number = rate.bytes_per_second,
         .status = rate.direct ? FactStatus::kGood : FactStatus::kNote,
         .meaning = rate.direct ? "random 2 MB reads: what missed experts arrive with"
                                : "partly a measure of memory; the disk may be slower"});
  }

  const HostQuestions& questions_;
  HostReport report_;
};

}  // namespace

std::string_view fact_status_name(FactStatus status) noexcept {
  switch (status) {
    case FactStatus::kGood:
      return "good";
    case FactStatus::kNote:
      return "note";
    case FactStatus::kProblem:
      return "problem";
  }
  return "";
}

HostReport make_host_report(const HostQuestions& questions) { return Examination(questions).run(); }

std::string host_text(const HostReport& report) {
  std::string out;
  std::string topic;
  size_t name_width = 0;
  size_t value_width = 0;
  for (const HostFact& fact : report.facts) {
    name_width = std::max(name_width, fact.name.size());
    if (fact.value.size() <= 32) value_width = std::max(value_width, fact.value.size());
  }
  for (const HostFact& fact : report.facts) {
    if (fact.topic != topic) out += fmt::format("{}{}\n", out.empty() ? "" : "\n", topic = fact.topic);
    const std::string_view mark = fact.status == FactStatus::kGood ? "" : fact_status_name(fact.status);
    out += fmt::format("  {:<{}}  {:<{}}  {}{}{}\n", fact.name, name_width, fact.value, value_width, mark,
                       mark.empty() ? "" : ": ", fact.meaning);
  }
  return out;
}

nlohmann::ordered_json host_json(const HostReport& report) {
  nlohmann::ordered_json facts = nlohmann::ordered_json::array();
  for (const HostFact& fact : report.facts) {
    facts.push_back(
        {{"topic", fact.topic},
         {"name", fact.name},
         {"value", fact.value},
         {"number", fact.number ? nlohmann::ordered_json(*fact.number) : nlohmann::ordered_json()},
         {"status", fact_status_name(fact.status)},
         {"meaning", fact.meaning}});
  }
  return {{"facts", std::move(facts)}};
}

}  // namespace mach
