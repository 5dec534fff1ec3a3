// One loaded checkpoint: immutable weights and the graph of its family. All mutable state is outside, in
// SequenceStates and in the Workspace, so one model serves any number of sequences.
//
//   ModelOptions options{.numerics = Numerics::kExact};
//   auto model = Model::open(directory, options);
//   Workspace workspace(pool, kernels);
//   auto state = model->new_state();
//   model->forward(workspace, {{SequenceStep{state.get(), prompt_ids, LogitsWanted::kLast}}}, logits);
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "arch/model_config.h"
#include "experts/expert_counters.h"
#include "kernels/compute.h"
#include "model/caches/kv_rows.h"
#include "model/expert_residency.h"
#include "model/sequence_state.h"

namespace mach {

class ExpertProvider;
class ThreadPool;
class Workspace;  // model/workspace.h: scratch memory and the Compute context of one engine thread

enum class LogitsWanted : uint8_t { kNone, kLast, kAll };

// Tokens to append to one sequence in a forward pass: a prompt chunk, or one token in decode, or a draft to
// verify.
struct SequenceStep {
  SequenceState* state = nullptr;
  std::span<const int32_t> tokens;  // at least one; each below vocab_size (checked, Error{kInvalidRequest})
  LogitsWanted logits = LogitsWanted::kLast;
};

struct ModelOptions {
  Numerics numerics = Numerics::kFast;
  // fp32 keeps golden tests tight; bf16 halves the memory, 8 bits quarter it. kF32 is used in exact mode whatever this says.
  KvElement kv_element = KvElement::kBF16;
  ResidencyOptions residency;
  FloatWeights float_weights = FloatWeights::kEightBit;  // in fast mode
  // How far back every cache must be able to truncate without a snapshot (drafts under verification).
  uint32_t rollback_tokens = 32;
  // What the model will mostly run on: decides which weights are packed in fast mode. Null: the best set of this machine.
  const KernelSet* kernels = nullptr;
  // Shares the packing of weights while a model is opened; null: the calling thread does it.
  ThreadPool* load_pool = nullptr;
  std::function<void(uint64_t done, uint64_t total)> load_progress;  // bytes packed; empty: none
  // DeepSeek V4: the rounding of latent rows, compressed entries and the inputs of FP8 and FP4 linear layers to FP8, and of
  // the indexer's vectors to FP4, which the official implementation makes (the weights were trained with it) and Hugging
  // Face's does not. Off for parity with the latter.
  bool official_round_trips = false;
};

// Called after the embedding (index 0), after layer i (index i + 1), and with the head's input, i.e. after the
// final norm (index layers + 1). Rows are the tokens of the pass; from the last layer's output on, those whose logits are
// wanted (DeepSeek V4: all of them there).
// Set on the Workspace. For debugging and golden tests.
using HiddenObserver = std::function<void(uint32_t index, std::span<const float> hidden, uint32_t tokens)>;

class Model {
 public:
  virtual ~Model() = default;

  // Reads config.json and maps the weights of a checkpoint folder. Throws Error{kNotFound, kUnsupported,
  // kCorruptFile}.
  static std::unique_ptr<Model> open(const std::filesystem::path& directory, const ModelOptions& options);

  virtual const ModelConfig& config() const noexcept = 0;

  // How the routed experts are held, and what that has cost so far. Any thread may ask.
  ExpertStatus expert_status() const;
  void watch_experts(const ExpertProvider* experts) noexcept { experts_ = experts; }  // of this model
  virtual std::unique_ptr<SequenceState> new_state() const = 0;

  // Advances every sequence by its tokens in one pass (a batch of one is the ordinary case; no state may
  // appear twice). Writes the wanted rows of logits [rows, vocab_size] fp32 in step order; `logits` holds at
  // least that many. In exact mode a sequence's results do not depend on the rest of the batch, on chunking
  // or on thread count. If it throws, every state of the batch is left at its length before the call.
  virtual void forward(Workspace& workspace, std::span<const SequenceStep> steps,
                       std::span<float> logits) const = 0;

  static size_t logits_rows(std::span<const SequenceStep> steps) noexcept;

 private:
  const ExpertProvider* experts_ = nullptr;
};

}  // namespace mach
