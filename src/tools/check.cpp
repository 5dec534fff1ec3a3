// `mach check`: whether a checkpoint will run here, on which paths, in how much memory and about how fast, before anything
// of it is loaded or downloaded. The report itself is src/preflight's.
#include <iostream>
#include <optional>
#include <string>
#include <thread>

#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/interrupt.h"
#include "base/memory_info.h"
#include "preflight/check_report.h"
#include "preflight/disk_probe.h"
#include "preflight/host_profile.h"
#include "preflight/report_json.h"
#include "preflight/report_text.h"
#include "tools/cache_dir.h"
#include "tools/cli.h"

namespace mach::tools {
namespace {

constexpr const char* kExamples =
    "  mach check ~/models/Qwen3-30B-A3B-4bit\n"
    "  mach check Qwen/Qwen3.6-35B-A3B --json               nothing but config and headers is fetched\n"
    "  mach check DIR --context-length 32768 --expert-cache-gb 6 --bandwidth 40 --measure-disk\n"
    "  mach check --all-archs                               which path works for which architecture\n"
    "\n"
    "MODEL is a folder, a repository in the Hugging Face cache, or one of the hub (HF_ENDPOINT, HF_TOKEN), "
    "of which\n"
    "config.json, the sidecar's layout and the tensor headers are fetched and kept below the cache folder; "
    "weights "
    "never.\n"
    "Statuses: ok, blocked, needs_artifact, unknown, n/a.\n"
    "Exit status: 0 supported; 1 not supported; 2 the command line is wrong; 4 access refused; 5 no such "
    "model;\n"
    "7 the hub says to slow down; 9 the hub's answer makes no sense; 11 network or disk error; 130 "
    "interrupted.";

constexpr double kGiga = 1e9;

struct Arguments {
  std::string model;
  bool json = false, all_archs = false, local_only = false, measure_disk = false;
  std::string draft_dir, revision, cache_dir;
  std::string kv_cache = "bf16";
  std::string float_weights = "q8";
  std::optional<uint32_t> context_length;
  std::optional<double> expert_cache_gb, bandwidth;
};

std::optional<MemoryInfo> memory_info() {
  try {
    return read_memory_info();
  } catch (const Error&) {  // no /proc: the report says that it does not know
    return std::nullopt;
  }
}

CheckOptions check_options(const Arguments& arguments, const ModelSource& source) {
  CheckOptions options;
  options.context_length = arguments.context_length;
  if (arguments.expert_cache_gb)
    options.expert_cache_bytes = static_cast<uint64_t>(*arguments.expert_cache_gb * kGiga);
  if (!arguments.draft_dir.empty()) options.draft_dir = arguments.draft_dir;
  options.memory = memory_info();
  options.kv_element = kv_element_named(arguments.kv_cache).value_or(KvElement::kBF16);
  options.float_weights = float_weights_named(arguments.float_weights).value_or(FloatWeights::kEightBit);
  options.threads = std::max(1U, std::thread::hardware_concurrency());
  const auto profile = load_host_profile(cache_root(arguments.cache_dir));
  if (arguments.bandwidth) {
    options.memory_bandwidth = *arguments.bandwidth * kGiga;
  } else if (profile) {
    options.memory_bandwidth = profile->memory_bandwidth;
  }
  if (arguments.measure_disk) {
    if (!source.folder())
      throw Error(ErrorCode::kUsage,
                  "--measure-disk needs the model's files, and " + source.name() + " is not here");
    options.disk_rate = probe_disk(*source.folder(), {}).bytes_per_second;
  } else if (profile && source.folder()) {
    options.disk_rate = profile->disk_rate(*source.folder());
  }
  return options;
}

int check_model(const Arguments& arguments) {
  const InterruptGuard interrupt;
  SourceOptions where;
  where.revision = arguments.revision;
  where.local_only = arguments.local_only;
  where.cache_root = cache_root(arguments.cache_dir);
  where.hub = HubEnvironment::from_process();
  where.settings = HubSettings::from_process();
  where.settings.tries = 2;  // a question is asked again sooner than a download
  where.cancelled = [] { return InterruptGuard::requested(); };
  where.warn = [](const std::string& text) { std::cerr << "mach check: warning: " << text << '\n'; };
  const auto source = open_model_source(arguments.model, where);
  const CheckReport report = make_check_report(*source, check_options(arguments, *source));
  if (arguments.json) {
    std::cout << report_json(report).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
              << '\n';
  } else {
    std::cout << report_text(report);
  }
  return report.supported ? 0 : 1;
}

int print_matrix(bool json) {
  const PathMatrix matrix = path_matrix();
  std::cout << (json ? matrix_json(matrix).dump(2) + "\n" : matrix_text(matrix));
  return 0;
}

}  // namespace

int run_check(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "Says whether a checkpoint will run here: paths, memory, speed. Loads and downloads no weights.");
  app.add_option("MODEL", arguments.model, "A folder, or a hub id ORG/NAME[@REVISION]");
  app.add_flag("--json", arguments.json, "Print the report as JSON (docs/schemas/check.schema.json)");
  app.add_flag("--all-archs", arguments.all_archs,
               "Print the matrix of paths and architectures; takes no MODEL");
  app.add_option("--draft-dir", arguments.draft_dir, "Folder of a draft model to check and to count");
  app.add_option("--context-length", arguments.context_length,
                 "Tokens of the sequence to size caches for (default: what the model allows, at most 8192)")
      ->check(CLI::PositiveNumber);
  app.add_option("--expert-cache-gb", arguments.expert_cache_gb,
                 "Budget of the expert bank, 10^9 bytes (default: what the available memory leaves)")
      ->check(CLI::PositiveNumber);
  app.add_option("--kv-cache", arguments.kv_cache,
                 "How keys and values are kept: bf16, or q8 for half the memory (default: bf16)")
      ->check(CLI::IsMember({"bf16", "q8"}));
  app.add_option(
         "--float-weights", arguments.float_weights,
         "How bf16 attention and head beside 4-bit experts (gpt-oss) are held: q8 or keep (default: q8)")
      ->check(CLI::IsMember({"q8", "keep"}));
  app.add_flag("--local-only", arguments.local_only, "Use no network");
  app.add_option("--revision", arguments.revision, "Branch, tag or commit of a hub id (default main)");
  app.add_option("--cache-dir", arguments.cache_dir,
                 "mach's cache folder (default: XDG_CACHE_HOME/mach or ~/.cache/mach)");
  app.add_option(
         "--bandwidth", arguments.bandwidth,
         "Memory bandwidth in 10^9 bytes per second, for the forecast (default: what `mach doctor --save` "
         "measured)")
      ->check(CLI::PositiveNumber);
  app.add_flag("--measure-disk", arguments.measure_disk,
               "Read the model's own files for two seconds, past the page cache, to forecast streaming");
  if (!parse_command_line(app, argc, argv, kExamples)) return 0;

  if (arguments.all_archs) {
    if (!arguments.model.empty()) throw Error(ErrorCode::kUsage, "--all-archs takes no MODEL");
    return print_matrix(arguments.json);
  }
  if (arguments.model.empty())
    throw Error(ErrorCode::kUsage, std::string("MODEL is required (see ") + argv[0] + " --help)");
  return check_model(arguments);
}

}  // namespace mach::tools
