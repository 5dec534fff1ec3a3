// What `mach doctor` says about this machine: each fact with what it means for mach. Values only; reads /proc, /sys and the
// folders given, and measures rates where asked to.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "preflight/host_profile.h"

namespace mach {

enum class FactStatus : uint8_t {
  kGood,
  kNote,     // works, slower or smaller than it could be
  kProblem,  // something that mach wants to do will fail
};
std::string_view fact_status_name(FactStatus status) noexcept;  // "good", "note", "problem"

struct HostFact {
  std::string topic;             // "cpu", "memory", "pages", "io", "gpu", "folder <path>"
  std::string name;              // stable, snake_case
  std::string value;             // for people
  std::optional<double> number;  // the same for programs where it is one: bytes, bytes per second, counts
  FactStatus status = FactStatus::kGood;
  std::string meaning;  // one line
};

struct HostReport {
  std::vector<HostFact> facts;
  HostProfile profile;  // what was measured
};

struct HostQuestions {
  std::vector<std::filesystem::path> folders;  // model folders to look at
  bool measure = true;                         // memory and disk rates: seconds
  uint32_t threads = 1;
  std::string kernel_set;            // the one that would be chosen
  std::string cpu_features;          // to_string(probe_cpu_features())
  std::filesystem::path root = "/";  // where proc and sys lie; tests have their own
};

HostReport make_host_report(const HostQuestions& questions);

std::string host_text(const HostReport& report);
nlohmann::ordered_json host_json(const HostReport& report);  // docs/schemas/doctor.schema.json

}  // namespace mach
