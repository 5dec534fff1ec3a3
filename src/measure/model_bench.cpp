#include "measure/model_bench.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "mach/error.h"

#include "arch/sidecar_layout.h"
#include "base/counter_random.h"
#include "engine/sampler.h"
#include "io/checkpoint_files.h"

namespace mach::measure {
namespace {

using Clock = std::chrono::steady_clock;

// One sequence that writes: its state, what samples for it, the token that comes next.
struct Writer {
  std::unique_ptr<SequenceState> state;
  Sampler sampler;
  TokenId next = 0;
};

ExpertCounters difference(const ExpertCounters& after, const ExpertCounters& before) {
  return {.hits = after.hits - before.hits,
          .misses = after.misses - before.misses,
          .evictions = after.evictions - before.evictions,
          .reads = after.reads - before.reads,
          .bytes_read = after.bytes_read - before.bytes_read,
          .read_ns = after.read_ns - before.read_ns,
          .stall_ns = after.stall_ns - before.stall_ns,
          .guesses_useful = after.guesses_useful - before.guesses_useful,
          .guesses_wasted = after.guesses_wasted - before.guesses_wasted};
}

class Bench {
 public:
  Bench(LoadedEngine& engine, const BenchOptions& options, const BenchProgress& progress)
      : engine_(engine),
        model_(engine.model()),
        workspace_(engine.workspace()),
        options_(options),
        progress_(progress),
        plan_(build_tensor_plan(
            model_.config(),
            read_tensor_catalog(engine.directory().path(), engine.directory().checkpoint_options()),
            {.experts_in_sidecar = true})),
        params_(engine.default_generation()) {
    vocabulary_ = std::max<uint32_t>(2, params_.vocabulary);
    if (plan_.layout == ExpertLayout::kSidecar) {
      if (const auto layout = read_sidecar_layout(engine.directory().path()))
        sidecar_ = expert_layers(*layout);
    }
    for (uint32_t depth : options.depths) {
      const uint32_t most =
          std::max(options.generate, *std::max_element(options.prompts.begin(), options.prompts.end()));
      const uint32_t positions = model_.config().max_position_embeddings;
      if (depth + uint64_t{most} > positions) {
        throw Error(ErrorCode::kInvalidRequest,
                    fmt::format("depth: {} and {} tokens are more than the {} positions of the model", depth,
                                most, positions));
      }
    }
  }

  std::vector<BenchResult> run() {
    for (const uint32_t depth : options_.depths) {
      const auto base = model_.new_state();
      say(fmt::format("filling {} tokens of context", depth));
      if (depth > 0) prefill(*base, depth, 0);
      const StateSnapshot filled = base->snapshot();
      for (const uint32_t tokens : options_.prompts) {
        if (tokens > 0) measure_prefill(filled, depth, tokens);
      }
      if (options_.generate == 0) continue;
      for (const uint32_t batch : options_.batches) measure_decode(filled, depth, batch);
    }
    return std::move(results_);
  }

 private:
  void say(const std::string& what) const {
    if (progress_.step) progress_.step(what);
  }

  double forward(std::span<const SequenceStep> steps) {
    if (progress_.cancelled && progress_.cancelled())
      throw Error(ErrorCode::kCancelled, "the benchmark was stopped");
    logits_.resize(Model::logits_rows(steps) * model_.config().vocab_size);
    const auto start = Clock::now();
    model_.forward(workspace_, steps, logits_);
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  // Random ids in chunks; the logits of the last are wanted, as in serving. Returns seconds.
  double prefill(SequenceState& state, uint32_t tokens, uint64_t stream) {
    const CounterRandom random(options_.seed + stream);
    std::vector<TokenId> ids(tokens);
    for (uint32_t i = 0; i < tokens; ++i) ids[i] = static_cast<TokenId>(random.below(vocabulary_, i));
    double seconds = 0;
    for (uint32_t done = 0; done < tokens;) {
      const uint32_t count = std::min(options_.prefill_chunk, tokens - done);
      const SequenceStep step{&state, std::span(ids).subspan(done, count),
                              done + count == tokens ? LogitsWanted::kLast : LogitsWanted::kNone};
      seconds += forward({&step, 1});
      done += count;
    }
    return seconds;
  }

  // Around one measured run of a result.
  void note_streaming(const ExpertCounters& before, double seconds, double tokens,
                      BenchResult& result) const {
    ExpertStatus status = engine_.expert_status();
    if (status.residency != "streaming") return;
    StreamingResult& sum = result.streaming ? *result.streaming : result.streaming.emplace();
    sum.counters += difference(status.total, before);
    sum.status = std::move(status);
    sum.seconds += seconds;
    sum.tokens += tokens;
  }

  void measure_prefill(const StateSnapshot& filled, uint32_t depth, uint32_t tokens) {
    BenchResult result{.kind = BenchKind::kPrefill, .tokens = tokens, .depth = depth};
    for (uint32_t run = 0; run <= options_.runs; ++run) {
      say(fmt::format("prefill {} at depth {}: run {} of {}", tokens, depth, run, options_.runs));
      const auto state = model_.new_state();
      state->restore(filled);
      const ExpertCounters before = engine_.expert_status().total;
      const double seconds = prefill(*state, tokens, 1 + run);
      if (run == 0) continue;
      result.rates.push_back(tokens / seconds);
      note_streaming(before, seconds, tokens, result);
    }
    result.macs = count_macs(model_.config(), depth, tokens).total() / tokens;
    results_.push_back(std::move(result));
  }

  std::vector<Writer> new_writers(const StateSnapshot& filled, uint32_t batch, uint32_t run) {
    std::vector<Writer> writers;
    const CounterRandom random(options_.seed + 1000);
    for (uint32_t i = 0; i < batch; ++i) {
      SamplingParams sampling = params_.sampling;
      if (sampling.temperature == 0)
        sampling.temperature = 1;  // greedy text repeats itself, and routing with it
      sampling.seed = random.at(uint64_t{run} * 4096 + i);
      writers.push_back({model_.new_state(), Sampler(sampling, vocabulary_), 0});
      writers.back().state->restore(filled);
      writers.back().next =
          static_cast<TokenId>(random.below(vocabulary_, (uint64_t{1} << 32) + uint64_t{run} * 4096 + i));
    }
    return writers;
  }

  void measure_decode(const StateSnapshot& filled, uint32_t depth, uint32_t batch) {
    const ModelConfig& config = model_.config();
    BenchResult result{
        .kind = BenchKind::kDecode, .tokens = options_.generate, .depth = depth, .batch = batch};
    RoutingStats routing(config.layer_count(), config.moe.experts);
    for (uint32_t run = 0; run <= options_.runs; ++run) {
      say(fmt::format("decode {} x {} at depth {}: run {} of {}", batch, options_.generate, depth, run,
                      options_.runs));
      std::vector<Writer> writers = new_writers(filled, batch, run);
      if (run > 0 && config.moe.experts > 0) {
        workspace_.routing_observer = [&](uint32_t layer, std::span<const uint32_t> chosen, uint32_t top_k) {
          routing.count(layer, chosen, top_k);
        };
      }
      const ExpertCounters before = engine_.expert_status().total;
      const double seconds = decode(writers);
      workspace_.routing_observer = {};
      if (run == 0) continue;
      const double tokens = 1.0 * batch * options_.generate;
      result.rates.push_back(tokens / seconds);
      note_streaming(before, seconds, tokens, result);
    }
    if (config.moe.experts > 0) result.routing = routing.summary();
    const uint32_t middle = depth + options_.generate / 2;
    result.bytes = decode_bytes(config, plan_,
                                {.depth = middle,
                                 .batch = batch,
                                 .kv_element = options_.kv_element,
                                 .float_weights = options_.float_weights,
                                 .experts_per_layer = result.routing ? result.routing->pass_experts : 0},
                                sidecar_);
    result.macs = count_macs(config, middle, 1).total();
    results_.push_back(std::move(result));
  }

  double decode(std::vector<Writer>& writers) {
    const size_t vocab = model_.config().vocab_size;
    std::vector<SequenceStep> steps(writers.size());
    double seconds = 0;
    for (uint32_t i = 0; i < options_.generate; ++i) {
      for (size_t s = 0; s < writers.size(); ++s)
        steps[s] = {writers[s].state.get(), {&writers[s].next, 1}, LogitsWanted::kLast};
      seconds += forward(steps);
      for (size_t s = 0; s < writers.size(); ++s) {
        Writer& writer = writers[s];
        writer.next = writer.sampler.sample(std::span(logits_).subspan(s * vocab, vocab)).id;
        writer.sampler.accept(writer.next);
      }
    }
    return seconds;
  }

  LoadedEngine& engine_;
  const Model& model_;
  Workspace& workspace_;
  const BenchOptions& options_;
  const BenchProgress& progress_;
  const TensorPlan plan_;
  std::vector<ExpertLayerSpec> sidecar_;  // empty where the plan has the experts
  const GenerationParams params_;
  uint32_t vocabulary_ = 0;
  std::vector<float> logits_;
  std::vector<BenchResult> results_;
};

}  // namespace

double BenchResult::median() const {
  std::vector<double> sorted = rates;
  std::sort(sorted.begin(), sorted.end());
  const size_t n = sorted.size();
  if (n == 0) return 0;
  return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

std::vector<BenchResult> run_bench(LoadedEngine& engine, const BenchOptions& options,
                                   const BenchProgress& progress) {
  return Bench(engine, options, progress).run();
}

}  // namespace mach::measure
