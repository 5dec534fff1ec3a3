// `mach doctor`: what this machine offers, and what it means for mach.
#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <sched.h>

#include "mach/error.h"

#include "base/cpu_features.h"
#include "kernels/kernel_set.h"
#include "preflight/host_report.h"
#include "tools/cache_dir.h"
#include "tools/cli.h"

namespace mach::tools {
namespace {

constexpr const char* kExamples =
    "  mach doctor                          processor, memory, pages, io_uring, GPU, memory bandwidth\n"
    "  mach doctor ~/models --save          also that folder's disk; keeps the rates for `mach check`\n"
    "  mach doctor --quick --json           measures nothing\n"
    "\n"
    "Rates of disks are measured for two seconds per FOLDER, by reading the files that are there.\n"
    "Exit status: 0; 1 when something that mach wants to do will fail here; 2 the command line is wrong.";

uint32_t available_cores() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<uint32_t>(CPU_COUNT(&set)) : 1;
}

}  // namespace

int run_doctor(int argc, char** argv) {
  std::vector<std::string> folders;
  std::string cache_dir;
  bool json = false, quick = false, save = false;
  CLI::App app("Reports what this machine offers to mach, and what each fact means.");
  app.add_option("FOLDER", folders, "Model folders whose disk is examined");
  app.add_flag("--json", json, "Print the report as JSON (docs/schemas/doctor.schema.json)");
  app.add_flag("--quick", quick, "Measure no rates");
  app.add_flag("--save", save,
               "Keep the measured rates in the cache folder, for the forecasts of `mach check`");
  app.add_option("--cache-dir", cache_dir,
                 "mach's cache folder (default: XDG_CACHE_HOME/mach or ~/.cache/mach)");
  if (!parse_command_line(app, argc, argv, kExamples)) return 0;
  if (save && quick)
    throw Error(ErrorCode::kUsage, "--save keeps what is measured, and --quick measures nothing");

  const CpuFeatures features = probe_cpu_features();
  HostQuestions questions{.folders = {folders.begin(), folders.end()},
                          .measure = !quick,
                          .threads = available_cores(),
                          .kernel_set = std::string(select_kernel_set(features).name),
                          .cpu_features = to_string(features)};
  const HostReport report = make_host_report(questions);
  if (json) {
    std::cout << host_json(report).dump(2) << '\n';
  } else {
    std::cout << host_text(report);
  }
  if (save) {
    HostProfile profile = report.profile;
    if (const auto earlier = load_host_profile(cache_root(cache_dir)))
      profile.disks.insert(earlier->disks.begin(), earlier->disks.end());
    save_host_profile(cache_root(cache_dir), profile);
  }
  const bool problem = std::any_of(report.facts.begin(), report.facts.end(),
                                   [](const HostFact& fact) { return fact.status == FactStatus::kProblem; });
  return problem ? 1 : 0;
}

}  // namespace mach::tools
