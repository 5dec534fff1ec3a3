// `mach sidecar`: makes or checks the expert sidecar of a checkpoint.
#include <iostream>
#include <string>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/interrupt.h"
#include "convert/sidecar_tools.h"
#include "tools/cli.h"
#include "tools/progress_line.h"
#include "tools/text_table.h"

namespace mach::tools {
namespace {

constexpr const char* kExamples =
    "  mach sidecar ./Qwen3-30B-A3B             writes ./Qwen3-30B-A3B/expert_sidecar\n"
    "  mach sidecar ./Qwen3-30B-A3B --verify    reads it and compares every record with its checksum\n"
    "\n"
    "A run that was stopped goes on when it is started again.\n"
    "Exit status: 0; 2 usage; 3 there is a sidecar already; 5 no such checkpoint, or none to verify; 9 "
    "records are\n"
    "damaged; 10 not enough disk space; 11 disk error; 130 interrupted.";

constexpr size_t kShownFaults = 20;

int verify(const std::string& checkpoint, const ByteProgress& progress, ProgressLine& line) {
  const auto directory = ModelDirectory::resolve(checkpoint, HubEnvironment::from_process());
  const SidecarCheck check = verify_sidecar(directory.path(), progress);
  line.clear();
  for (size_t i = 0; i < std::min(check.faults.size(), kShownFaults); ++i)
    std::cerr << check.faults[i] << '\n';
  if (!check.faults.empty()) {
    throw Error(ErrorCode::kCorruptFile,
                fmt::format("{} of {} records are damaged", check.faults.size(), check.records));
  }
  std::cout << fmt::format("{} records, {}: all as written\n", check.records, shown_bytes(check.bytes));
  return 0;
}

}  // namespace

int run_sidecar(int argc, char** argv) {
  std::string checkpoint;
  bool only_verify = false;
  CLI::App app("Writes or checks the expert sidecar of a checkpoint.");
  app.add_option("CKPT", checkpoint, "Checkpoint folder, or a hub id in the local cache")->required();
  app.add_flag("--verify", only_verify, "Compare every record with its checksum");
  if (!parse_command_line(app, argc, argv, kExamples)) return 0;

  const InterruptGuard interrupt;
  ProgressLine line;
  const ByteProgress progress = [&](uint64_t done, uint64_t total) {
    line.show_bytes(done, total);
    return !InterruptGuard::requested();
  };
  if (only_verify) return verify(checkpoint, progress, line);
  const SourceCheckpoint source = SourceCheckpoint::open(checkpoint);
  const uint64_t bytes = export_sidecar(source, progress);
  line.clear();
  std::cout << fmt::format("{}: {}\n", (source.directory.path() / kSidecarFolder).string(),
                           shown_bytes(bytes));
  return 0;
}

}  // namespace mach::tools
