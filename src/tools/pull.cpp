// `mach pull` and `mach rm`: checkpoints from a Hugging Face compatible hub into the local cache, and out of it again.
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "mach/error.h"

#include "base/interrupt.h"
#include "io/hub/hub_download.h"
#include "tools/cli.h"
#include "tools/text_table.h"

namespace mach::tools {
namespace {

constexpr const char* kPullExamples =
    "  mach pull mlx-community/Qwen3-30B-A3B-4bit\n"
    "  mach pull openai/gpt-oss-20b --revision main --include '*.json' --include 'model*.safetensors'\n"
    "\n"
    "Files go to the Hugging Face cache (HF_HUB_CACHE, HF_HOME). HF_ENDPOINT names another hub, HF_TOKEN "
    "gives access to\n"
    "private and gated repositories. A download that was stopped goes on where it was; every file is checked "
    "against its\n"
    "hash. Prints the snapshot folder on standard output.\n"
    "Exit status: 0; 2 usage; 4 access refused; 5 no such repository; 7 the hub says to slow down; 9 a file "
    "arrived\n"
    "damaged; 10 not enough disk space; 11 network or disk error; 130 interrupted.";

constexpr const char* kRmExamples =
    "  mach rm mlx-community/Qwen3-30B-A3B-4bit          asks first\n"
    "  mach rm --yes mlx-community/Qwen3-30B-A3B-4bit\n"
    "\n"
    "Removes all revisions of the repository from the Hugging Face cache.\n"
    "Exit status: 0; 2 usage; 5 not in the cache; 130 not confirmed.";

HubModelId required_id(const std::string& text) {
  const auto id = parse_hub_model_id(text);
  if (!id) throw Error(ErrorCode::kUsage, "\"" + text + "\" is not a repository id, must be ORG/NAME");
  return *id;
}

// One line on a terminal, rewritten as bytes come: share, rate, time left.
class ProgressLine {
 public:
  explicit ProgressLine(const HubDownloadPlan& plan) : plan_(plan), shown_(::isatty(STDERR_FILENO) == 1) {}
  ~ProgressLine() {
    if (shown_ && drawn_) std::cerr << '\n';
  }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void draw(const HubProgress& progress) {
    if (!shown_) return;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    const uint64_t had = plan_.total_bytes - plan_.missing_bytes;
    const double rate = seconds > 0 && progress.bytes_done > had
                            ? static_cast<double>(progress.bytes_done - had) / seconds
                            : 0.0;
    const uint64_t left = plan_.total_bytes - std::min(progress.bytes_done, plan_.total_bytes);
    std::string time = "--:--";
    if (rate > 0) {
      const auto remaining = static_cast<uint64_t>(static_cast<double>(left) / rate);
      time = fmt::format("{:02}:{:02}", remaining / 60, remaining % 60);
    }
    const double share = plan_.total_bytes == 0 ? 1.0
                                                : static_cast<double>(progress.bytes_done) /
                                                      static_cast<double>(plan_.total_bytes);
    std::cerr << fmt::format("\r{:3.0f} %  {} of {}  {}/s  {} left  {}/{} files   ", 100 * share,
                             shown_bytes(progress.bytes_done), shown_bytes(plan_.total_bytes),
                             shown_bytes(static_cast<uint64_t>(rate)), time, progress.files_done,
                             plan_.files.size());
    drawn_ = true;
  }

 private:
  const HubDownloadPlan& plan_;
  const bool shown_;
  bool drawn_ = false;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

int run_pull(int argc, char** argv) {
  std::string repository, revision;
  std::vector<std::string> include;
  uint32_t parallel = 4;
  CLI::App app("Downloads a checkpoint from a Hugging Face compatible hub into the local cache.");
  app.add_option("ORG/NAME", repository, "Repository, optionally with @REVISION")->required();
  app.add_option("--revision", revision, "Branch, tag or commit (default main)");
  app.add_option("--include", include,
                 "Only files that match this glob; repeatable (default: what mach reads)");
  app.add_option("--parallel", parallel, "Files at a time (default 4)")->check(CLI::Range(1, 16));
  if (!parse_command_line(app, argc, argv, kPullExamples)) return 0;

  HubModelId id = required_id(repository);
  if (!revision.empty()) id = required_id(id.repo + "@" + revision);
  const InterruptGuard interrupt;
  const HubSettings settings = HubSettings::from_process();
  HubDownloadOptions options;
  options.parallel = parallel;
  options.cancelled = [] { return InterruptGuard::requested(); };
  HubClient client(settings, options.cancelled);
  const HubDownloadPlan plan =
      plan_hub_download(client, id, hub_cache_root(HubEnvironment::from_process()), include);
  std::cerr << fmt::format("{} at {}: {} files, {}, {} to download\n", id.repo, plan.commit.substr(0, 12),
                           plan.files.size(), shown_bytes(plan.total_bytes), shown_bytes(plan.missing_bytes));
  ProgressLine line(plan);
  options.progress = [&](const HubProgress& progress) { line.draw(progress); };
  std::cout << download_hub_files(settings, plan, options).string() << '\n';
  return 0;
}

int run_rm(int argc, char** argv) {
  std::string repository;
  bool yes = false;
  CLI::App app("Removes a repository from the local cache.");
  app.add_option("ORG/NAME", repository, "Repository")->required();
  app.add_flag("-y,--yes", yes, "Do not ask");
  if (!parse_command_line(app, argc, argv, kRmExamples)) return 0;

  const HubModelId id = required_id(repository);
  const std::filesystem::path root = hub_cache_root(HubEnvironment::from_process());
  if (!yes) {
    if (!std::filesystem::exists(root / id.folder_name())) {
      throw Error(ErrorCode::kNotFound, id.repo + " is not in " + root.string());
    }
    std::cerr << "Remove " << (root / id.folder_name()).string() << "? [y/N] " << std::flush;
    std::string answer;
    std::getline(std::cin, answer);
    if (answer != "y" && answer != "Y" && answer != "yes")
      throw Error(ErrorCode::kCancelled, "nothing removed");
  }
  std::cout << "removed " << id.repo << ", " << shown_bytes(remove_hub_repository(id, root)) << " freed\n";
  return 0;
}

}  // namespace mach::tools
