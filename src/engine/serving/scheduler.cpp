#include "engine/serving/scheduler.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <new>
#include <utility>

#include "mach/error.h"

#include "engine/prefix_cache/snapshot_plan.h"
#include "model/model.h"
#include "model/workspace.h"

namespace mach {
namespace {

using Clock = std::chrono::steady_clock;

// What a pass or a sampler threw, as the one error type that requests get to see.
Error error_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& e) {
    return e;
  } catch (const std::bad_alloc&) {
    return {ErrorCode::kOutOfBudget, "out of memory"};
  } catch (const std::exception& e) {
    return {ErrorCode::kInternal, e.what()};
  } catch (...) {
    return {ErrorCode::kInternal, "unknown failure"};
  }
}

Error cancelled_error() { return {ErrorCode::kCancelled, "the request was cancelled"}; }

}  // namespace

Scheduler::Scheduler(EngineLoop::Parts parts, const EngineLoopOptions& options, Logger log)
    : model_(parts.model),
      workspace_(parts.workspace),
      options_(options),
      log_(std::move(log)),
      cache_(options.prefix_cache, std::move(parts.disk), log_) {}

void Scheduler::add(std::shared_ptr<ActiveRequest> request) {
  waiting_.push_back({std::move(request), 0, nullptr});
  ++open_;
}

void Scheduler::cancel(RequestId id) {
  const auto is_it = [id](const auto& r) { return r->id == id; };
  std::shared_ptr<ActiveRequest> found;
  for (const auto& sequence : running_) {
    if (!sequence->ended && is_it(sequence->shared_request())) found = sequence->shared_request();
  }
  for (const Waiting& waiting : waiting_) {
    if (is_it(waiting.request)) found = waiting.request;
  }
  if (!found) return;
  end_request(*found, Ending::kCancelled, cancelled_error());
  remove_ended();
}

void Scheduler::cancel_all() {
  while (!waiting_.empty()) cancel(waiting_.front().request->id);
  while (!running_.empty()) cancel(running_.front()->request().id);
}

void Scheduler::step() {
  const Clock::time_point start = Clock::now();
  const uint64_t prompt_before = stats_.prompt_tokens;
  const uint64_t generated_before = stats_.generated_tokens;
  admit();
  if (const Batch batch = plan(); !batch.steps.empty()) run(batch);
  end_what_broke();
  remove_ended();
  cache_.collect();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  stats_.busy_seconds += seconds;
  recent_.add_pass(seconds, stats_.prompt_tokens - prompt_before, stats_.generated_tokens - generated_before);
}

void Scheduler::admit() {
  while (running_.size() < options_.parallel && !waiting_.empty()) {
    const Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    try {
      start(next);
    } catch (...) {
      end_request(*next.request, Ending::kFailed, error_of(std::current_exception()));
    }
    remove_ended();
  }
}

void Scheduler::start(const Waiting& next) {
  auto sequence = std::make_unique<Sequence>(next.request, next.choice);
  if (!next.prompt) {
    const uint32_t cached = restore(*sequence);
    running_.push_back(std::move(sequence));
    next.request->start(cached);
    return;
  }
  auto state = model_.new_state();
  state->restore(next.prompt->snapshot);
  sequence->start(std::move(state), {});
  Sequence* const running = running_.emplace_back(std::move(sequence)).get();
  take_tokens({&running, 1}, next.prompt->logits);
}

// Starts a sequence with what the cache has of its prompt; returns how many tokens that are.
uint32_t Scheduler::restore(Sequence& sequence) {
  const EngineRequest& request = sequence.request().request;
  auto state = model_.new_state();
  const PrefixCache::Reuse reuse = cache_.restore(request.prompt, *state);
  std::vector<uint32_t> pauses;
  if (options_.prefix_cache.enabled && !state->keeps_every_position()) {
    pauses = snapshot_lengths(request.prompt, {.turn_ends = request.params.stop_ids,
                                               .boundaries = request.boundaries,
                                               .restored = reuse.length,
                                               .common = reuse.common,
                                               .least = options_.prefix_cache.block_size,
                                               .interval = options_.prefix_cache.snapshot_interval,
                                               .whole_prompt_is_prefix = request.prefill_only});
  }
  sequence.start(std::move(state), pauses);
  return reuse.length;
}

Scheduler::Batch Scheduler::plan() {
  std::vector<StepDemand> demands;
  demands.reserve(running_.size());
  for (const auto& sequence : running_) demands.push_back(sequence->demand());
  const auto counts = plan_step(demands, {options_.prefill_chunk, options_.interleaved_chunk});
  Batch batch;
  for (size_t i = 0; i < running_.size(); ++i) {
    if (counts[i] == 0) continue;
    batch.sequences.push_back(running_[i].get());
    batch.steps.push_back(running_[i]->step(counts[i]));
  }
  return batch;
}

void Scheduler::run(const Batch& batch) {
  logits_.resize(Model::logits_rows(batch.steps) * model_.config().vocab_size);
  try {
    ++stats_.passes;
    model_.forward(workspace_, batch.steps, logits_);
  } catch (...) {
    const Error error = error_of(std::current_exception());
    log_.warning("event=pass_failed sequences={} error=\"{}\"", batch.steps.size(), error.what());
    if (batch.steps.size() == 1) {
      end_request(batch.sequences[0]->request(), Ending::kFailed, error);
    } else {
      run_alone(batch);
    }
    return;
  }
  advance(batch, logits_);
}

// A pass that threw has changed nothing; alone, each sequence shows whether it was the cause.
void Scheduler::run_alone(const Batch& batch) {
  for (size_t i = 0; i < batch.steps.size(); ++i) {
    if (!batch.sequences[i]->ended) run({{batch.sequences[i]}, {batch.steps[i]}});
  }
}

void Scheduler::advance(const Batch& batch, std::span<const float> logits) {
  std::vector<Sequence*> chosen;
  std::vector<Sequence*> prompts_ended;
  for (size_t i = 0; i < batch.steps.size(); ++i) {
    Sequence& sequence = *batch.sequences[i];
    const SequenceStep& step = batch.steps[i];
    const auto prompt = static_cast<uint32_t>(sequence.request().request.prompt.size());
    const uint32_t length = sequence.state().length();
    if (step.logits == LogitsWanted::kLast) chosen.push_back(&sequence);
    if (length > prompt) continue;
    stats_.prompt_tokens += step.tokens.size();
    if (sequence.take_pause()) keep(sequence);
    sequence.request().progress(length);
    if (length == prompt) {
      const auto row = step.logits == LogitsWanted::kLast
                           ? logits.subspan((chosen.size() - 1) * model_.config().vocab_size)
                           : std::span<const float>();
      prompt_done(sequence, row);
    }
  }
  take_tokens(chosen, logits);
}

void Scheduler::prompt_done(Sequence& sequence, std::span<const float> logits) {
  ActiveRequest& request = sequence.request();
  if (sequence.state().keeps_every_position()) keep(sequence);
  if (request.request.prefill_only) {
    end_request(request, Ending::kCompleted, std::nullopt);
    return;
  }
  if (request.request.choices == 1) return;
  auto prompt = std::make_shared<SharedPrompt>();
  prompt->snapshot = sequence.state().snapshot();
  const auto row = logits.first(model_.config().vocab_size);
  prompt->logits.assign(row.begin(), row.end());
  for (uint32_t choice = 1; choice < request.request.choices; ++choice) {
    waiting_.push_back({sequence.shared_request(), choice, prompt});
  }
}

// Sampling is work of a pass over the vocabulary per sequence; the compute threads are free now.
void Scheduler::take_tokens(std::span<Sequence* const> sequences, std::span<const float> logits) {
  const size_t vocabulary = model_.config().vocab_size;
  workspace_.compute().pool.run(sequences.size(), [&](size_t i, size_t) {
    sequences[i]->choose(logits.subspan(i * vocabulary, vocabulary), options_.context_length);
  });
  for (Sequence* sequence : sequences) {
    if (!sequence->ended) take_token(*sequence);
  }
}

void Scheduler::take_token(Sequence& sequence) {
  ActiveRequest& request = sequence.request();
  try {
    sequence.rethrow_failure();
  } catch (...) {
    end_request(request, Ending::kFailed, error_of(std::current_exception()));
    return;
  }
  ++stats_.generated_tokens;
  request.took_token();
  request.pieces(sequence.choice(), std::move(sequence.chosen().pieces));
  if (sequence.chosen().finish) end_choice(sequence);
}

void Scheduler::end_choice(Sequence& sequence) {
  keep(sequence);
  sequence.ended = true;
  ActiveRequest& request = sequence.request();
  request.choice_ended(sequence.choice(), sequence.generation());
  if (request.open_choices == 0) end_request(request, Ending::kCompleted, std::nullopt);
}

void Scheduler::end_request(ActiveRequest& request, Ending ending, std::optional<Error> error) {
  for (const auto& sequence : running_) {
    if (&sequence->request() != &request || sequence->ended) continue;
    keep(*sequence);
    sequence->ended = true;
  }
  uint64_t* const counts[] = {&stats_.completed, &stats_.cancelled, &stats_.failed};
  ++*counts[static_cast<size_t>(ending)];
  --open_;
  request.end(std::move(error));
  // Last: it may be what keeps the request alive.
  std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.request.get() == &request; });
}

// Requests whose event sink threw: nobody listens.
void Scheduler::end_what_broke() {
  for (const auto& sequence : running_) {
    if (sequence->ended || !sequence->request().wants_end()) continue;
    end_request(sequence->request(), Ending::kCancelled, cancelled_error());
  }
}

void Scheduler::remove_ended() {
  std::erase_if(running_, [](const auto& sequence) { return sequence->ended; });
}

void Scheduler::keep(const Sequence& sequence) {
  cache_.insert(sequence.computed_tokens(), sequence.state());
}

uint32_t Scheduler::waiting_requests() const noexcept {
  return static_cast<uint32_t>(
      std::count_if(waiting_.begin(), waiting_.end(), [](const Waiting& w) { return w.choice == 0; }));
}

EngineLoopStats Scheduler::stats() const {
  EngineLoopStats stats = stats_;
  stats.parallel = options_.parallel;
  stats.running = static_cast<uint32_t>(running_.size());
  stats.waiting = waiting_requests();
  stats.prompt_tokens_per_second = recent_.prompt_rate();
  stats.generated_tokens_per_second = recent_.generated_rate();
  stats.batch_width = recent_.batch_width();
  stats.prefix_cache = cache_.stats();
  return stats;
}

}  // namespace mach
