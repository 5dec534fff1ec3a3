#include "tools/engine_arguments.h"

#include <charconv>
#include <cstdint>
#include <iostream>
#include <optional>
#include <system_error>

#include <CLI/Error.hpp>
#include <CLI/Validators.hpp>

#include "tools/cache_dir.h"
#include "tools/cli.h"

namespace mach::tools {

namespace {

// Empty for "auto".
std::optional<uint64_t> cache_bytes(const std::string& text) {
  if (text == "auto") return std::nullopt;
  double gigabytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), gigabytes);
  if (error != std::errc() || end != text.data() + text.size() || !(gigabytes > 0) || gigabytes > 1e6) {
    throw CLI::ValidationError("--expert-cache-gb", "must be a number of gigabytes above 0, or auto");
  }
  return static_cast<uint64_t>(gigabytes * 1e9);
}

}  // namespace

void EngineArguments::set_expert_cache(const std::string& text) {
  options.expert_cache_bytes = cache_bytes(text);
}

void EngineArguments::add_to(CLI::App& app) {
  app.add_flag(
      "--exact", options.exact,
      "Compute in fp32 throughout: the same result on every machine and for any number of threads (slower)");
  app.add_flag("--official-round-trips", options.official_round_trips,
               "deepseek_v4: round activations to FP8 and FP4 where DeepSeek's own implementation does");
  app.add_option("-t,--threads", options.threads, "Compute threads (default: one per available core)");
  app.add_option("--context-length", options.context_length,
                 "Tokens a session may hold (default: what the model allows, at most 8192)");
  app.add_option("--kv-cache", options.kv_cache,
                 "How keys and values are kept: bf16, or q8 for half the memory (default: bf16)")
      ->check(CLI::IsMember({"bf16", "q8"}));
  app.add_option("--float-weights", options.float_weights,
                 "How bf16 attention and head beside 4-bit experts (gpt-oss) are held: q8 rounds them to 8 "
                 "bits, keep does not (default: q8; with --exact always keep)")
      ->check(CLI::IsMember({"q8", "keep"}));
  app.add_option("--kernels,--kernel-set", options.kernel_set,
                 "Kernel set, such as avx512, avx2, neon or scalar (default: the best this machine runs)");
  app.add_flag_function(
      "--streaming,!--no-streaming",
      [this](int64_t on) { options.residency = on > 0 ? Residency::kStreaming : Residency::kResident; },
      "Read routed experts from disk into a bounded cache, or hold all in memory (default: what fits)");
  app.add_option_function<std::string>(
         "--expert-cache-gb", [this](const std::string& text) { set_expert_cache(text); },
         "Size of the expert cache in GB (10^9 bytes), or auto (default: from available memory)")
      ->type_name("GB|auto");
  app.add_option("--expert-io", options.expert_io, "How experts are read (default: auto, which measures)")
      ->check(CLI::IsMember({"auto", "uring", "pread", "buffered", "mmap"}));
  app.add_option("--bank-eviction", options.bank_eviction,
                 "Which expert a full cache gives up (default: lfru)")
      ->check(CLI::IsMember({"lfru", "lru", "lookahead"}));
  app.add_flag("!--no-expert-lookahead", options.expert_lookahead,
               "Never read the next layer's likely experts ahead (default: where it is measured to pay)");
  app.add_flag_function(
      "--hot-experts", [this](int64_t) { options.hot_experts_dir = cache_root("") / "hot_experts"; },
      "Hold the experts that earlier runs used most, in up to half of the expert cache; uses are noted in "
      "mach's "
      "cache folder (default: neither)");
  app.add_flag("--verify-experts", options.verify_experts,
               "Check every expert read from a sidecar against its checksum");
}

std::unique_ptr<LoadedEngine> EngineArguments::open(const std::string& model) const {
  auto engine = LoadedEngine::open(model, options);
  for (const std::string& warning : engine->info().warnings) std::cerr << "warning: " << warning << '\n';
  return engine;
}

}  // namespace mach::tools
