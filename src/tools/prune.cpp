// `mach-prune` and `mach slice`: the engine layout of a checkpoint, with all of its routed experts or a chosen part.
#include <iostream>
#include <string>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "convert/engine_checkpoint.h"
#include "tools/cli.h"
#include "tools/progress_line.h"
#include "tools/text_table.h"

namespace mach::tools {
namespace {

constexpr uint64_t kMaxPlanBytes = uint64_t{1} << 30;

constexpr const char* kPruneExamples =
    "  mach-prune --source ./Qwen3-30B-A3B --output ./Qwen3-30B-A3B-k96 --plan keep_list.jsonl "
    "--candidate-id k96\n"
    "  mach-prune --source ./Qwen3-30B-A3B --output ./engine                 keeps all experts\n"
    "\n"
    "A plan has one candidate per line: {\"id\": \"k96\", \"keep\": [[0, 3, ...], \"all\", ...]} with an "
    "entry per layer\n"
    "that has routed experts, or {\"id\": \"all\", \"keep\": \"all\"}. Layers may keep different numbers. "
    "Router rows, score\n"
    "biases and hash tables follow. docs/ARTIFACTS.md describes plan and artifact.\n"
    "The artifact is made in OUTPUT.partial and renamed when it is complete; a run that was stopped goes on "
    "when it is\n"
    "started again.\n"
    "Exit status: 0; 2 usage; 3 the plan does not fit, or OUTPUT exists; 5 no such source or candidate; 9 a "
    "file is\n"
    "damaged; 10 not enough disk space; 11 disk error; 130 interrupted.";

constexpr const char* kSliceExamples =
    "  mach slice ./Qwen3-30B-A3B --out ./Qwen3-30B-A3B-engine\n"
    "\n"
    "The engine layout: config, tokenizer, the tensors that every token needs, and one record per routed "
    "expert in\n"
    "expert_sidecar/, which --streaming reads. Weights keep their values.\n"
    "The artifact is made in OUT.partial and renamed when it is complete; a run that was stopped goes on "
    "when it is\n"
    "started again.\n"
    "Exit status: 0; 2 usage; 3 OUT exists; 5 no such source; 9 a file is damaged; 10 not enough disk space; "
    "11 disk\n"
    "error; 130 interrupted.";

int write_artifact(const std::string& source_name, ArtifactOptions options, const std::string& plan_path) {
  const InterruptGuard interrupt;
  const SourceCheckpoint source =
      SourceCheckpoint::open(source_name, options.sidecar ? RecordOrder::kFast : RecordOrder::kRows);
  KeepPlan plan;
  if (!plan_path.empty())
    plan = parse_keep_plan(read_text_file(plan_path, kMaxPlanBytes), options.candidate_id, plan_path);
  options.kept = resolve_keep_plan(plan, source.config);
  ProgressLine line;
  options.progress = [&](uint64_t done, uint64_t total) {
    line.show_bytes(done, total);
    return !InterruptGuard::requested();
  };
  const ArtifactResult result = write_engine_checkpoint(source, options);
  line.clear();
  std::cout << fmt::format("{}: {}, {}{}\n", options.out.string(), result.name, shown_bytes(result.bytes),
                           result.reused_bytes > 0
                               ? fmt::format(" ({} from an earlier run)", shown_bytes(result.reused_bytes))
                               : "");
  return 0;
}

}  // namespace

int run_prune(int argc, char** argv) {
  ArtifactOptions options;
  std::string source, output, plan;
  bool no_sidecar = false;
  CLI::App app("Writes the engine layout of a checkpoint with a chosen part of its routed experts.");
  app.add_option("--source", source, "Checkpoint folder, or a hub id in the local cache")->required();
  app.add_option("--output", output, "Folder to make")->required();
  auto* plan_option = app.add_option("--plan", plan, "Plan file, JSON lines (default: keep all experts)");
  auto* id = app.add_option("--candidate-id", options.candidate_id, "Which candidate of the plan");
  app.add_flag("--no-sidecar", no_sidecar,
               "Write experts as safetensors, one tensor per expert and projection");
  if (!parse_command_line(app, argc, argv, kPruneExamples)) return 0;
  if (plan_option->empty() != id->empty()) {
    throw Error(ErrorCode::kUsage,
                fmt::format("--plan and --candidate-id belong together (see {} --help)", argv[0]));
  }
  options.out = output;
  options.sidecar = !no_sidecar;
  return write_artifact(source, std::move(options), plan);
}

int run_slice(int argc, char** argv) {
  ArtifactOptions options;
  std::string source, output;
  CLI::App app("Writes the engine layout of a checkpoint, with all its experts.");
  app.add_option("SRC", source, "Checkpoint folder, or a hub id in the local cache")->required();
  app.add_option("--out", output, "Folder to make")->required();
  if (!parse_command_line(app, argc, argv, kSliceExamples)) return 0;
  options.out = output;
  return write_artifact(source, std::move(options), "");
}

}  // namespace mach::tools
