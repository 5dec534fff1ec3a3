// `mach synth`: random-weight checkpoints of real shape, for measuring a machine without a download.
#include <iostream>
#include <string>

#include <fmt/format.h>

#include "mach/error.h"

#include "base/interrupt.h"
#include "synth/synth_config.h"
#include "synth/synthesize.h"
#include "tools/cli.h"
#include "tools/progress_line.h"
#include "tools/text_table.h"

namespace mach::tools {
namespace {

constexpr const char* kExamples =
    "  mach synth --like qwen3-30b-a3b --layers 12 --out /tmp/qwen3-12\n"
    "  mach synth --like gpt-oss-20b --routing zipf:1 --out /tmp/gpt-oss\n"
    "  mach synth --like ./Qwen3-30B-A3B/config.json --quant affine8 --out /tmp/copy\n"
    "  mach synth --like qwen3-30b-a3b --sidecar --out /tmp/engine\n"
    "  mach bench /tmp/qwen3-12\n"
    "\n"
    "Weights are noise, so the text is too; speed and memory are those of the real model. Tokens spread "
    "over\n"
    "experts as --routing says: uniform, or zipf:S, where the expert of popularity rank r is chosen in\n"
    "proportion to r^-S. There is no tokenizer: such a checkpoint takes and gives token ids.\n"
    "The folder appears when it is complete; Ctrl-C leaves nothing behind.\n"
    "Exit status: 0; 2 usage; 3 a wrong option value or the folder exists; 10 not enough disk space; 11 "
    "disk\n"
    "error; 130 interrupted.";

}  // namespace

int run_synth(int argc, char** argv) {
  synth::SynthOptions options;
  std::string quant, routing = "uniform", out;
  uint32_t threads = 0;
  std::string shapes, quants;
  for (const auto& shape : synth::model_shapes())
    shapes += fmt::format("{}{}", shapes.empty() ? "" : ", ", shape.name);
  for (const auto& row : synth::quant_rows())
    quants += fmt::format("{}{}", quants.empty() ? "" : ", ", row.name);

  CLI::App app("Writes a random-weight checkpoint of real shape.");
  app.add_option("--like", options.like, fmt::format("Shape: {}, or a config.json", shapes))->required();
  app.add_option("--out", out, "Folder to make")->required();
  app.add_option("--layers", options.layers, "Keep the first so many layers (default: all)")
      ->check(CLI::PositiveNumber);
  app.add_option("--quant", quant, fmt::format("{} (default: that of the release people run)", quants));
  app.add_option("--routing", routing, "uniform or zipf:S (default uniform)");
  app.add_option("--seed", options.seed, "Other weights (default 1)");
  app.add_flag("--sidecar", options.sidecar,
               "Write the engine layout: experts in expert_sidecar/, for --streaming");
  app.add_option("--threads", threads, "Threads (default: one per core)");
  if (!parse_command_line(app, argc, argv, kExamples)) return 0;

  options.out = out;
  options.routing = synth::parse_routing(routing);
  if (!quant.empty()) options.quant = synth::find_quant(quant);
  const InterruptGuard interrupt;
  ThreadPool pool(threads > 0 ? threads : std::max(1U, std::thread::hardware_concurrency()));
  ProgressLine line;
  line.show("fitting routers");
  const auto result = synth::synthesize(options, pool, [&](uint64_t done, uint64_t total) {
    line.show_bytes(done, total);
    return !InterruptGuard::requested();
  });
  line.clear();
  std::cout << fmt::format("{}: {} tensors, {}\n", out, result.tensors, shown_bytes(result.bytes));
  return 0;
}

}  // namespace mach::tools
