// `mach bench`: how fast a model runs here, next to what the machine could do at most.
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/interrupt.h"
#include "base/memory_info.h"
#include "measure/bench_report.h"
#include "tools/cli.h"
#include "tools/engine_arguments.h"
#include "tools/progress_line.h"

namespace mach::tools {
namespace {

constexpr const char* kExamples =
    "  mach bench ./Qwen3-30B-A3B\n"
    "  mach bench /tmp/synth -p 512,2048 -n 128 --depth 0,16384\n"
    "  mach bench /tmp/synth -p 0 -n 64 --batch 1,2,4,8 --json > batch.json\n"
    "  mach bench /tmp/synth --threads 1 --kernel-set avx2\n"
    "  mach bench /tmp/engine --streaming --expert-cache-gb 2,4,8 --expert-io pread -p 0\n"
    "\n"
    "Prefill: random ids in one sequence, logits of the last. Decode: one token per sequence and pass, "
    "sampled from\n"
    "the model. Times are of forward passes. Rates are medians over --runs, after one run that does not "
    "count; +- is\n"
    "half the distance between the fastest and the slowest. The machine's read rate and peaks are measured "
    "in the same\n"
    "run with as many threads. bytes/pass: weights, experts and cache that a decode pass must read. A model "
    "without\n"
    "weights to download: mach synth.\n"
    "Exit status: 0; 2 usage; 3 a wrong option value; 5 no such model; 130 interrupted.";

// Later peaks count from here; where the system refuses, from the start of the process.
void reset_peak_rss() { std::ofstream("/proc/self/clear_refs") << "5"; }

double seconds_of_first_token(LoadedEngine& engine) {
  const auto start = std::chrono::steady_clock::now();
  const auto state = engine.model().new_state();
  const TokenId id = 0;
  const SequenceStep step{state.get(), {&id, 1}, LogitsWanted::kLast};
  std::vector<float> logits(engine.info().vocab_size);
  engine.model().forward(engine.workspace(), {&step, 1}, logits);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

roofline::Roofline better(const roofline::Roofline& a, const roofline::Roofline& b) {
  return {std::max(a.read_bytes, b.read_bytes), std::max(a.fp32_macs, b.fp32_macs),
          std::max(a.int8_macs, b.int8_macs), std::max(a.bf16_macs, b.bf16_macs)};
}

roofline::Roofline measure_machine(size_t threads) {
  ThreadPool pool(threads);
  roofline::RooflineOptions options;
  options.read_bytes = std::min(options.read_bytes, read_memory_info().available / 4);
  return roofline::measure_roofline(roofline::best_peaks(), pool, options);
}

}  // namespace

int run_bench(int argc, char** argv) {
  std::string model;
  bool json = false;
  measure::BenchOptions options;
  EngineArguments engine_arguments;
  CLI::App app("Measures the speed of a model against the limits of the machine.");
  app.add_option("MODEL", model, "Checkpoint folder, or a hub id in the local cache")->required();
  app.add_option("-p,--prompt-tokens", options.prompts, "Prefill lengths, 0 for none (default 512)")
      ->delimiter(',');
  app.add_option("-n,--generate-tokens", options.generate, "Tokens to decode, 0 for none (default 128)");
  app.add_option("-d,--depth", options.depths, "Tokens of context before (default 0)")->delimiter(',');
  app.add_option("-b,--batch", options.batches, "Sequences that decode together (default 1)")
      ->delimiter(',')
      ->check(CLI::Range(1, 256));
  app.add_option("-r,--runs", options.runs, "Measured runs (default 3)")->check(CLI::Range(1, 1000));
  app.add_option("--seed", options.seed, "Other random ids (default 1)");
  app.add_flag("--json", json, "Print JSON (docs/PERFORMANCE.md)");
  engine_arguments.add_to(app);
  app.remove_option(app.get_option("--expert-cache-gb"));
  std::vector<std::string> cache_sizes;
  app.add_option("--expert-cache-gb", cache_sizes,
                 "Sizes of the expert cache in GB (10^9 bytes) to measure one after the other, or auto")
      ->delimiter(',')
      ->type_name("GB|auto");
  if (!parse_command_line(app, argc, argv, kExamples)) return 0;

  const InterruptGuard interrupt;
  ProgressLine line;
  measure::BenchReport report;
  report.roofline_set = roofline::best_peaks().name;
  line.show("measuring the machine");
  const auto before = engine_arguments.options.threads > 0
                          ? measure_machine(engine_arguments.options.threads)
                          : measure_machine(std::max(1U, std::thread::hardware_concurrency()));
  reset_peak_rss();
  line.show("loading");
  options.prefill_chunk = engine_arguments.options.prefill_chunk;
  options.kv_element = engine_arguments.options.exact
                           ? KvElement::kF32
                           : kv_element_named(engine_arguments.options.kv_cache).value_or(KvElement::kBF16);
  options.float_weights =
      engine_arguments.options.exact
          ? FloatWeights::kKeep
          : float_weights_named(engine_arguments.options.float_weights).value_or(FloatWeights::kEightBit);
  measure::BenchProgress progress;
  progress.step = [&](const std::string& what) { line.show(what); };
  progress.cancelled = [] { return InterruptGuard::requested(); };
  if (cache_sizes.empty()) cache_sizes.emplace_back("auto");
  for (const std::string& size : cache_sizes) {
    engine_arguments.set_expert_cache(size);
    const auto engine = engine_arguments.open(model);
    report.engine = engine->info();
    report.first_token_seconds = seconds_of_first_token(*engine);
    for (auto& result : measure::run_bench(*engine, options, progress))
      report.results.push_back(std::move(result));
    const ProcessMemory memory = read_process_memory();
    report.peak_rss = memory.peak_rss;
    report.rss_anon = memory.rss_anon;
    report.rss_file = memory.rss - memory.rss_anon;
  }
  line.show("measuring the machine again");
  report.roofline = better(before, measure_machine(report.engine.threads));
  line.clear();
  if (json) {
    std::cout << measure::to_json(report).dump(2) << '\n';
  } else {
    std::cout << measure::to_text(report);
  }
  return 0;
}

}  // namespace mach::tools
