// `mach-serve`: the model behind HTTP.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mach/error.h"

#include "base/file.h"
#include "base/interrupt.h"
#include "engine/loaded_engine.h"
#include "server/api.h"
#include "server/engine_queue.h"
#include "server/expert_summary.h"
#include "server/http_server.h"
#include "tools/cli.h"
#include "tools/engine_arguments.h"

namespace mach::tools {
namespace {

using server::EventLog;
using server::LogField;
using Milliseconds = std::chrono::milliseconds;

constexpr const char* kExamples =
    "  mach-serve ./Qwen3-30B-A3B --no-streaming\n"
    "  mach-serve ./Qwen3.6-35B-A3B --streaming --expert-cache-gb 8 --context-length 32768 --port 8080\n"
    "  mach-serve ./model --no-streaming --host 0.0.0.0 --api-key-file key.txt --parallel 8\n"
    "  mach-serve --config serve.toml\n"
    "  curl http://127.0.0.1:8080/v1/chat/completions -d '{\"messages\": [{\"role\": \"user\", \"content\": "
    "\"Hi\"}]}'\n"
    "\n"
    "--config reads the same options from a file, one per line: port = 9000, no-streaming = true.\n"
    "Environment: LME_CONTINUOUS_BATCHING (0 or 1), LME_CONTINUOUS_BATCHING_MAX_B, MACH_API_KEY.\n"
    "Endpoints and fields: docs/API.md. SIGTERM or Ctrl-C: no new requests, running ones end, the prefix "
    "cache "
    "is saved.\n"
    "A second signal ends the process at once.\n"
    "Exit status: 0 after SIGTERM or Ctrl-C; 2 when the command line is wrong; others: mach --help.";

struct Arguments {
  std::string model, checkpoint, model_id;
  bool target_only = false;
  std::string backend = "production";
  double wired_gb = 0;
  EngineArguments engine;

  uint32_t parallel = 0;
  bool continuous_batching = false;
  EngineLoopOptions loop;
  double prefix_cache_gb = 0, disk_kv_gb = 0;
  std::string disk_kv_dir;

  server::HttpServerOptions http;
  double max_body_mb = 32;
  std::vector<std::string> api_keys;
  std::string api_key_file;
  std::vector<std::string> cors;
  bool strict_model = false;
  double request_timeout = 0, keep_alive = 10, drain = 30;

  std::string log_format = "text", log_level = "info";
};

Milliseconds milliseconds(double seconds) { return Milliseconds(static_cast<int64_t>(seconds * 1000)); }

uint64_t bytes_of_gb(double gb) { return static_cast<uint64_t>(gb * 1e9); }

void add_model_options(CLI::App& app, Arguments& args) {
  app.add_option("MODEL", args.model, "Checkpoint folder, or a hub id in the local cache");
  app.add_option("--checkpoint", args.checkpoint, "The same by name");
  app.add_option("--model-id", args.model_id,
                 "Name under which the API shows the model (default: its folder's)");
  app.add_flag("--target-only", args.target_only, "No speculative decoding");
  app.add_option("--backend", args.backend, "production, dflash or openai; all name the one engine there is")
      ->check(CLI::IsMember({"production", "dflash", "openai"}));
  app.add_option("--wired-gb", args.wired_gb, "Accepted and without effect: a limit of Apple's Metal");
  args.engine.add_to(app);
}

void add_serving_options(CLI::App& app, Arguments& args) {
  const char* group = "Batching and prefix cache";
  app.add_option("--parallel", args.parallel, "Sequences that run at the same time (default 4)")
      ->check(CLI::Range(1U, 256U))
      ->group(group);
  app.add_flag("--continuous-batching", args.continuous_batching,
               "Accepted: it is always on, unless --parallel is 1")
      ->group(group);
  app.add_option("--max-waiting", args.loop.max_waiting,
                 "Requests that may wait; more get status 429 (default 64)")
      ->group(group);
  app.add_flag("--prefix-cache,!--no-prefix-cache", args.loop.prefix_cache.enabled,
               "Keep the state of prompts for requests that begin alike (default: on)")
      ->group(group);
  app.add_option("--prefix-cache-max-entries", args.loop.prefix_cache.max_entries, "Entries in memory")
      ->group(group);
  app.add_option("--prefix-cache-max-gb", args.prefix_cache_gb, "Memory for it")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  app.add_option("--prefix-cache-block-size", args.loop.prefix_cache.block_size,
                 "Fewest tokens worth an entry or a reuse")
      ->check(CLI::PositiveNumber)
      ->group(group);
  app.add_option("--disk-kv-dir", args.disk_kv_dir, "Keep it on disk too, in this folder, across restarts")
      ->group(group);
  app.add_option("--disk-kv-budget-gb", args.disk_kv_gb, "Disk space for it")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
}

void add_http_options(CLI::App& app, Arguments& args) {
  const char* group = "HTTP";
  app.add_option("--host", args.http.host, "Address to listen on (default 127.0.0.1)")->group(group);
  app.add_option("--port", args.http.port, "Port (default 8080); 0 takes a free one and prints it")
      ->group(group);
  app.add_option("--api-key", args.api_keys,
                 "Ask for this key; may be given several times (also $MACH_API_KEY)")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--api-key-file", args.api_key_file, "The same, one key per line, unseen by other users")
      ->group(group);
  app.add_option("--cors", args.cors,
                 "Let pages of this origin use the API (\"*\": all); may be given several times")
      ->allow_extra_args(false)
      ->group(group);
  app.add_flag("--strict-model", args.strict_model, "Refuse requests that name another model")->group(group);
  app.add_option("--max-body-mb", args.max_body_mb, "Largest request body (default 32)")
      ->check(CLI::Range(0.001, 1024.0))
      ->group(group);
  app.add_option("--max-connections", args.http.max_connections, "Connections at the same time (default 512)")
      ->check(CLI::PositiveNumber)
      ->group(group);
  app.add_option("--request-timeout", args.request_timeout,
                 "Seconds after which a request ends with what there is (default 0: none)")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  app.add_option("--keep-alive", args.keep_alive, "A stream is never silent for more seconds (default 10)")
      ->check(CLI::Range(0.1, 3600.0))
      ->group(group);
  app.add_option("--drain", args.drain, "Seconds that running requests get after SIGTERM (default 30)")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  app.add_option("--log-format", args.log_format, "text or json")->check(CLI::IsMember({"text", "json"}));
  app.add_option("--log-level", args.log_level, "trace, debug, info, warning, error or off");
}

std::optional<uint32_t> number_in_environment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  char* end = nullptr;
  const unsigned long value = std::strtoul(text, &end, 10);
  if (*end != '\0' || value > 256) {
    throw Error(ErrorCode::kUsage, fmt::format("{}: must be a number from 0 to 256", name));
  }
  return static_cast<uint32_t>(value);
}

// --parallel wins over the environment; batching that is switched off there means one sequence at a time.
uint32_t parallel_of(const Arguments& args) {
  const auto on = number_in_environment("LME_CONTINUOUS_BATCHING");
  const auto most = number_in_environment("LME_CONTINUOUS_BATCHING_MAX_B");
  if (args.parallel > 0) return args.parallel;
  if (on == 0U && !args.continuous_batching) return 1;
  return most && *most > 0 ? *most : EngineLoopOptions().parallel;
}

void read_keys(Arguments& args) {
  constexpr uint64_t kMaxKeyFile = uint64_t{1} << 20;
  if (const char* key = std::getenv("MACH_API_KEY"); key != nullptr && *key != '\0')
    args.api_keys.emplace_back(key);
  if (args.api_key_file.empty()) return;
  const size_t before = args.api_keys.size();
  const std::string text = read_text_file(args.api_key_file, kMaxKeyFile);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find_first_of("\r\n", at), text.size());
    if (end > at) args.api_keys.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  if (args.api_keys.size() == before) {
    throw Error(ErrorCode::kUsage, fmt::format("--api-key-file: {} holds no key", args.api_key_file));
  }
}

// False: only help was wanted.
bool parse(int argc, char** argv, Arguments& args) {
  CLI::App app("Serves a model over HTTP: the APIs of OpenAI and Anthropic.");
  app.set_config("--config", "", "Read options from this file (TOML)");
  add_model_options(app, args);
  add_serving_options(app, args);
  add_http_options(app, args);
  if (!parse_command_line(app, argc, argv, kExamples)) return false;
  const auto wrong = [&](const std::string& what) {
    throw Error(ErrorCode::kUsage, fmt::format("{} (see {} --help)", what, argv[0]));
  };
  if (args.model.empty()) args.model = args.checkpoint;
  if (args.model.empty()) wrong("a MODEL is required");
  if (!args.checkpoint.empty() && args.checkpoint != args.model)
    wrong("MODEL and --checkpoint name different models");
  if (args.engine.options.residency == Residency::kAuto)
    wrong("one of --streaming and --no-streaming is required");
  if (!parse_log_level(args.log_level))
    wrong("--log-level: must be trace, debug, info, warning, error or off");
  args.http.max_body_bytes = static_cast<size_t>(args.max_body_mb * 1e6);
  args.http.max_pending_body_bytes = std::max(args.http.max_pending_body_bytes, 2 * args.http.max_body_bytes);
  args.loop.parallel = parallel_of(args);
  if (args.prefix_cache_gb > 0) args.loop.prefix_cache.max_bytes = bytes_of_gb(args.prefix_cache_gb);
  if (args.disk_kv_gb > 0) args.loop.prefix_cache.disk_budget = bytes_of_gb(args.disk_kv_gb);
  args.loop.prefix_cache.disk_dir = args.disk_kv_dir;
  read_keys(args);
  return true;
}

// What is really active, as one list of facts for the log and for GET /v1/capabilities.
struct Facts {
  std::string event;
  std::vector<LogField> fields;
};

std::vector<Facts> expert_facts(const LoadedEngine& engine) {
  const ExpertStatus status = engine.expert_status();
  const bool streaming = status.residency == "streaming";
  std::vector<Facts> facts;
  if (streaming) {
    facts.push_back({"startup experts",
                     {{"source", status.source},
                      {"reader", status.reader},
                      {"reads_at_a_time", uint64_t{status.lanes}},
                      {"eviction", status.eviction},
                      {"bank_bytes", status.bank_bytes},
                      {"slots", status.slots},
                      {"experts", status.experts}}});
  }
  facts.push_back({"startup direct-pread",
                   {{"expert_residency", status.residency},
                    {"transient_prefill", streaming},
                    {"direct_pread", server::reads_directly(status)},
                    {"sidecar_valid", streaming && status.source == "sidecar"},
                    {"native_extension", std::string("ready")},
                    {"fallback_policy", std::string("fail-fast")}}});
  return facts;
}

std::vector<Facts> startup_facts(const Arguments& args, const LoadedEngine& engine) {
  const EngineInfo& info = engine.info();
  const PrefixCacheOptions& cache = args.loop.prefix_cache;
  const std::string batched = args.loop.parallel > 1 ? "batched" : "single";
  std::vector<Facts> facts = {{"startup mode",
                               {{"profile", args.backend},
                                {"model_type", info.model_type},
                                {"quantisation", info.quantisation},
                                {"weight_bytes", info.weight_bytes},
                                {"load_seconds", info.load_seconds}}}};
  for (Facts& one : expert_facts(engine)) facts.push_back(std::move(one));
  facts.push_back({"startup compute",
                   {{"numerics", info.numerics},
                    {"kernel_set", info.kernel_set},
                    {"threads", uint64_t{info.threads}},
                    {"decode_path", std::string("target-only")},
                    {"decode_mode", batched},
                    {"parallel", uint64_t{args.loop.parallel}},
                    {"context_length", uint64_t{info.context_length}}}});
  facts.push_back({"startup cache",
                   {{"prefix_cache", std::string(cache.enabled ? "on" : "off")},
                    {"prefix_cache_max_entries", uint64_t{cache.max_entries}},
                    {"prefix_cache_max_bytes", cache.max_bytes},
                    {"prefix_cache_block_size", uint64_t{cache.block_size}},
                    {"disk_kv", std::string(cache.disk_dir.empty() ? "off" : cache.disk_dir.string())},
                    {"disk_kv_budget_bytes", cache.disk_budget}}});
  return facts;
}

nlohmann::ordered_json facts_json(const std::vector<Facts>& all) {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  for (const Facts& facts : all) {
    for (const LogField& field : facts.fields) {
      std::visit([&](const auto& value) { object[std::string(field.key)] = value; }, field.value);
    }
  }
  return object;
}

void warn(const Arguments& args, const LoadedEngine& engine, const server::HttpServer& http,
          const EventLog& log) {
  const auto warning = [&](const std::string& text) { log.warning("warning", {{"text", text}}); };
  for (const std::string& text : engine.info().warnings) warning(text);
  if (args.wired_gb > 0) warning("--wired-gb has no effect: it is a limit of Apple's Metal");
  if (args.backend == "dflash" && !args.target_only)
    warning("there is no draft model: decoding is target-only");
  if (http.loopback()) return;
  warning(args.api_keys.empty()
              ? "listening beyond this machine without an API key: everyone who reaches it can use it "
                "(--api-key-file)"
              : "listening beyond this machine, and HTTP is not encrypted: put a TLS proxy in front");
}

std::string served_name(const Arguments& args, const LoadedEngine& engine) {
  return args.model_id.empty() ? engine.directory().name() : args.model_id;
}

}  // namespace

int run_serve(int argc, char** argv) {
  Arguments args;
  if (!parse(argc, argv, args)) return 0;
  const InterruptGuard interrupt;
  std::signal(SIGPIPE, SIG_IGN);  // whoever reads the log may go away
  const EventLog log =
      EventLog::to_stderr(*parse_log_level(args.log_level),
                          args.log_format == "json" ? server::LogFormat::kJson : server::LogFormat::kText);

  args.engine.options.sequences = args.loop.parallel;
  if (args.loop.prefix_cache.enabled) args.engine.options.reserved_bytes = args.loop.prefix_cache.max_bytes;
  const auto engine = LoadedEngine::open(args.model, args.engine.options);
  InterruptGuard::check("loading");
  const server::ServedModel model(*engine, served_name(args, *engine));
  args.loop.context_length = engine->info().context_length;
  args.loop.prefill_chunk = args.engine.options.prefill_chunk;
  const std::unique_ptr<EngineLoop> loop = engine->start_loop(args.loop, log.logger());
  server::EngineQueue queue(*loop);

  const std::vector<Facts> facts = startup_facts(args, *engine);
  server::ApiOptions api_options;
  api_options.strict_model = args.strict_model;
  api_options.keep_alive = milliseconds(args.keep_alive);
  api_options.time_limit = milliseconds(args.request_timeout);
  api_options.facts = facts_json(facts);
  server::Api api(model, queue, std::move(api_options), log);
  server::Router router(
      api.routes(), {args.api_keys, args.cors}, log,
      [&api](std::string_view route, int status) { api.metrics().request_failed(route, status); });
  server::HttpServer http(args.http, router, log);

  for (const Facts& one : facts) log.info(one.event, one.fields);
  warn(args, *engine, http, log);
  http.start();
  const std::string url = fmt::format("http://{}/v1", http.address());
  log.info("ready", {{"url", url}, {"model", model.id()}});
  std::cout << "serving on " << url << std::endl;  // for whoever started it and waits

  interrupt.wait();
  log.info("draining", {{"connections", uint64_t{http.connections()}}});
  http.drain(milliseconds(args.drain));
  constexpr Milliseconds kRest{2'000};
  loop->drain(kRest);
  log.info("stopped", {});
  return 0;
}

}  // namespace mach::tools
