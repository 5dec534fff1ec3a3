#include "engine/loaded_engine.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sched.h>

#include "mach/error.h"

#include "arch/model_bytes.h"
#include "arch/model_config.h"
#include "arch/run_memory.h"
#include "arch/tensor_plan.h"
#include "base/cpu_features.h"
#include "base/file.h"
#include "engine/prefix_cache/model_identity.h"
#include "io/checkpoint_files.h"
#include "io/json.h"
#include "kernels/kernel_set.h"
#include "model/state_io.h"

namespace mach {
namespace {

constexpr uint32_t kDefaultContextLength = 8192;
constexpr uint32_t kMaxThreads = 1024;
constexpr uint64_t kMaxConfigBytes = uint64_t{16} << 20;  // tokenizer_config.json lists every added token

// The cores this process may run on, which a container or taskset makes fewer than there are.
uint32_t available_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<uint32_t>(CPU_COUNT(&set));
  return std::max(1U, std::thread::hardware_concurrency());
}

uint32_t thread_count(uint32_t wanted) {
  if (wanted > kMaxThreads) {
    throw Error(ErrorCode::kInvalidRequest, fmt::format("threads: {} is more than {}", wanted, kMaxThreads));
  }
  return wanted > 0 ? wanted : available_cores();
}

uint32_t context_length(uint32_t wanted, uint32_t model_limit) {
  if (wanted == 0) return std::min(model_limit, kDefaultContextLength);
  if (wanted <= model_limit) return wanted;
  throw Error(
      ErrorCode::kInvalidRequest,
      fmt::format("context_length: {} is more than the {} positions of the model", wanted, model_limit));
}

template <class Value>
Value named(std::string_view option, std::string_view name, std::optional<Value> found,
            std::string_view allowed) {
  if (found) return *found;
  throw Error(ErrorCode::kInvalidRequest,
              fmt::format("{}: \"{}\" is not known, must be {}", option, name, allowed));
}

ResidencyOptions residency_options(const EngineOptions& options) {
  ResidencyOptions out;
  switch (options.residency) {
    case Residency::kAuto:
      out.mode = ResidencyMode::kAuto;
      break;
    case Residency::kResident:
      out.mode = ResidencyMode::kResident;
      break;
    case Residency::kStreaming:
      out.mode = ResidencyMode::kStreaming;
      break;
  }
  if (options.residency == Residency::kResident && options.expert_cache_bytes) {
    throw Error(ErrorCode::kInvalidRequest, "expert_cache_bytes: only a streaming model has an expert cache");
  }
  out.bank_bytes = options.expert_cache_bytes;
  if (options.expert_io != "auto") {
    out.reader = named("expert_io", options.expert_io, find_reader(options.expert_io),
                       "auto, uring, pread, buffered or mmap");
  }
  out.eviction = named("bank_eviction", options.bank_eviction, find_eviction(options.bank_eviction),
                       "lfru, lru or lookahead");
  out.verify = options.verify_experts;
  out.lookahead = options.expert_lookahead ? Lookahead::kMeasured : Lookahead::kOff;
  return out;
}

std::string describe_experts(const ExpertStatus& status) {
  if (status.residency != "streaming") return status.residency;
  constexpr double kGiB = 1024.0 * 1024 * 1024;
  return fmt::format("streaming from {} layout, bank {:.2f} GiB ({} of {} experts), {} x {}, {}",
                     status.source, static_cast<double>(status.bank_bytes) / kGiB, status.slots,
                     status.experts, status.reader, status.lanes, status.eviction);
}

KvElement kv_element(const EngineOptions& options) {
  if (options.kv_cache.empty()) return ModelOptions().kv_element;
  const auto element = kv_element_named(options.kv_cache);
  if (!element) {
    throw Error(ErrorCode::kInvalidRequest,
                fmt::format("kv_cache: '{}' is not one of bf16, q8", options.kv_cache));
  }
  if (options.exact) {
    throw Error(ErrorCode::kInvalidRequest, "kv_cache: exact mode keeps keys and values in fp32");
  }
  return *element;
}

FloatWeights float_weights(const EngineOptions& options) {
  if (options.float_weights.empty()) return ModelOptions().float_weights;
  const auto form = float_weights_named(options.float_weights);
  if (form) return *form;
  throw Error(ErrorCode::kInvalidRequest,
              fmt::format("float_weights: '{}' is not one of q8, keep", options.float_weights));
}

// What the sequences and their passes take beside the weights. Reads config.json, which tells the sizes, before anything is
// loaded.
uint64_t session_memory(const std::filesystem::path& folder, const EngineOptions& options, KvElement element,
                        size_t threads) {
  const std::filesystem::path path = folder / "config.json";
  const ModelConfig config = parse_model_config(read_json_file(path), path.string());
  const RunShape shape{.context = context_length(options.context_length, config.max_position_embeddings),
                       .prefill_chunk = options.prefill_chunk,
                       .kv_element = options.exact ? KvElement::kF32 : element,
                       .int8_activations = !options.exact,
                       .bf16_activations = !options.exact,
                       .bf16_experts = !options.exact,
                       .threads = static_cast<uint32_t>(threads)};
  const uint64_t others = std::max(1U, options.sequences) - 1;
  return run_memory(config, shape) + others * cache_memory(config, shape).steady();
}

// A token that tokenizer_config.json names, as a string or as {"content": ...}; empty if it names none.
std::string special_token(const nlohmann::json& config, const char* key) {
  const auto value = config.find(key);
  if (value == config.end()) return {};
  if (value->is_string()) return value->get<std::string>();
  if (value->is_object() && value->contains("content") && (*value)["content"].is_string()) {
    return (*value)["content"].get<std::string>();
  }
  return {};
}

}  // namespace

std::unique_ptr<Engine> Engine::open(const std::string& model, const EngineOptions& options) {
  return LoadedEngine::open(model, options);
}

std::unique_ptr<LoadedEngine> LoadedEngine::open(const std::string& model, const EngineOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  ModelDirectory directory = ModelDirectory::resolve(model, HubEnvironment::from_process());
  std::unique_ptr<LoadedEngine> engine(new LoadedEngine(std::move(directory), options));
  engine->info_.load_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return engine;
}

LoadedEngine::LoadedEngine(ModelDirectory directory, const EngineOptions& options)
    : directory_(std::move(directory)),
      pool_(thread_count(options.threads)),
      workspace_(pool_, select_kernel_set(probe_cpu_features(), options.kernel_set)) {
  if (options.prefill_chunk == 0) {
    throw Error(ErrorCode::kInvalidRequest, "prefill_chunk: must be at least 1");
  }
  ModelOptions model_options;
  model_options.numerics = options.exact ? Numerics::kExact : Numerics::kFast;
  model_options.official_round_trips = options.official_round_trips;
  model_options.kv_element = kv_element(options);
  model_options.float_weights = float_weights(options);
  workspace_.set_numerics(model_options.numerics);
  model_options.residency = residency_options(options);
  model_options.residency.other_bytes =
      session_memory(directory_.path(), options, model_options.kv_element, pool_.threads());
  model_options.residency.spare_bytes = options.reserved_bytes;
  if (!options.hot_experts_dir.empty()) {
    model_options.residency.hot_list =
        options.hot_experts_dir / (model_identity(directory_.path(), "hot experts").hex() + ".json");
  }
  model_options.kernels = &workspace_.kernels();
  model_options.load_pool = &pool_;
  model_ = Model::open(directory_.path(), model_options);

  const ModelConfig& config = model_->config();
  limits_.context_length = context_length(options.context_length, config.max_position_embeddings);
  limits_.prefill_chunk = options.prefill_chunk;
  load_tokenizer();
  chat_ = ModelChat::load(directory_, config.model_type);
  load_generation_defaults();
  describe(options, workspace_.kernels());
}

void LoadedEngine::load_tokenizer() {
  vocabulary_ = model_->config().vocab_size;
  const auto path = directory_.tokenizer();
  if (!path) return;
  tokenizer_ = Tokenizer::open(*path);
  vocabulary_ = std::min(vocabulary_, static_cast<uint32_t>(tokenizer_->vocab_size()));
}

// These files are advice: what is wrong in them costs a warning, not the model.
void LoadedEngine::load_generation_defaults() {
  const auto advice = [&](auto read) {
    try {
      read();
    } catch (const Error& e) {
      defaults_.warnings.push_back(fmt::format("{}, ignored", e.what()));
    }
  };
  if (const auto path = directory_.generation_config()) {
    advice([&] {
      defaults_ =
          parse_generation_config(read_text_file(*path, kMaxConfigBytes), path->string(), vocabulary_);
    });
  }
  const auto& config_ids = model_->config().eos_token_ids;
  add_stop_ids(defaults_, std::vector<TokenId>(config_ids.begin(), config_ids.end()), "config.json",
               vocabulary_);
  add_end_of_turn(defaults_, false);
  const auto path = directory_.tokenizer_config();
  if (!path || !tokenizer_) return;
  advice([&] {
    const std::string token = special_token(read_json_file(*path, kMaxConfigBytes), "eos_token");
    if (const auto id = tokenizer_->token_to_id(token)) {
      add_stop_ids(defaults_, std::vector<TokenId>{*id}, path->string(), vocabulary_);
    }
  });
}

void LoadedEngine::add_end_of_turn(GenerationDefaults& defaults, bool with_tools) const {
  if (!tokenizer_) return;
  for (const std::string_view token : chat_.end_of_turn_tokens(with_tools)) {
    const auto id = tokenizer_->token_to_id(token);
    if (id) add_stop_ids(defaults, std::vector<TokenId>{*id}, "chat format", vocabulary_);
  }
}

void LoadedEngine::describe(const EngineOptions& options, const KernelSet& kernels) {
  const ModelConfig& config = model_->config();
  const TensorPlan plan =
      build_tensor_plan(config, read_tensor_catalog(directory_.path(), directory_.checkpoint_options()),
                        {.experts_in_sidecar = true});
  const ModelBytes bytes = model_bytes(config, plan);
  info_.model_path = directory_.path().string();
  info_.model_type = config.model_type;
  info_.quantisation = plan.quant;
  info_.kernel_set = kernels.name;
  info_.numerics = options.exact ? "exact" : "fast";
  state_settings_ =
      fmt::format("{} {} round_trips={} floats={} ", info_.numerics, options.exact ? "" : kernels.name,
                  options.official_round_trips, options.float_weights == "keep" ? "keep" : "q8");
  info_.threads = static_cast<uint32_t>(pool_.threads());
  info_.vocab_size = config.vocab_size;
  info_.context_length = limits_.context_length;
  const ExpertStatus experts = model_->expert_status();
  info_.weight_bytes =
      bytes.resident + (experts.residency == "streaming" ? experts.bank_bytes : bytes.routed);
  info_.experts = describe_experts(experts);
  info_.stop_ids = defaults_.stop_ids;
  info_.warnings = defaults_.warnings;
}

std::unique_ptr<ModelSession> LoadedEngine::new_model_session() {
  return std::make_unique<ModelSession>(*model_, workspace_, limits_);
}

std::unique_ptr<EngineLoop> LoadedEngine::start_loop(EngineLoopOptions options, Logger log) {
  options.context_length = limits_.context_length;
  options.prefill_chunk = limits_.prefill_chunk;
  EngineLoop::Parts parts{*model_, workspace_, tokenizer(), nullptr};
  const PrefixCacheOptions& cache = options.prefix_cache;
  if (cache.enabled && !cache.disk_dir.empty()) parts.disk = open_disk_tier(cache, log);
  return std::make_unique<EngineLoop>(std::move(parts), options, std::move(log));
}

// What a saved state means depends on the weights, on how they are computed with, and on the shapes and elements of the
// caches, which an empty state spells out.
std::unique_ptr<DiskTier> LoadedEngine::open_disk_tier(const PrefixCacheOptions& options,
                                                       const Logger& log) const {
  StateWriter empty;
  model_->new_state()->save(empty);
  const auto shapes = empty.finish();
  std::string settings = state_settings_;
  settings.append(reinterpret_cast<const char*>(shapes.data()), shapes.size());
  return std::make_unique<DiskTier>(DiskTier::Options{.folder = options.disk_dir,
                                                      .budget = options.disk_budget,
                                                      .identity = model_identity(directory_.path(), settings),
                                                      .new_state = [this] { return model_->new_state(); }},
                                    log);
}

const Tokenizer& LoadedEngine::tokenizer() const {
  if (tokenizer_) return *tokenizer_;
  throw Error(ErrorCode::kNotFound,
              directory_.path().string() + ": has no tokenizer.json, so it takes and gives token ids only");
}

const OutputConstraints& LoadedEngine::output_constraints() const {
  std::call_once(constraints_made_, [this] {
    constraints_.emplace(tokenizer(), chat_.format(), default_generation(true).stop_ids);
  });
  return *constraints_;
}

std::vector<TokenId> LoadedEngine::encode_rendered(std::string_view prompt) const {
  return tokenizer().encode(prompt, EncodeOptions{.add_special_tokens = false});
}

GenerationParams LoadedEngine::default_generation(bool with_tools) const {
  GenerationDefaults defaults = defaults_;
  if (with_tools) add_end_of_turn(defaults, true);
  GenerationParams params;
  params.sampling = std::move(defaults.sampling);
  params.vocabulary = vocabulary_;
  params.stop_ids = std::move(defaults.stop_ids);
  if (defaults.max_new_tokens) params.max_tokens = *defaults.max_new_tokens;
  if (!tokenizer_) return params;
  for (TokenId id = 0; id < static_cast<TokenId>(vocabulary_); ++id) {
    if (!tokenizer_->id_to_token(id)) params.sampling.suppressed.push_back(id);
  }
  return params;
}

}  // namespace mach
