// Checks of a model family against recorded outputs of the reference (Hugging Face transformers 5.17, eager,
// fp32), for every family alike. A family's test lists its checkpoints and calls these; each function reports
// through gtest and names the checkpoint and the worst element.
//
//   nano checkpoints (random weights, fixtures/nano/<name>): golden.safetensors with input_ids, logits at all
//   positions, hidden.i of the first 24 positions (after the embedding, after each layer, the last one after
//   the final norm), and greedy continuations.
//   mini checkpoints (trained, models/mini-<name>): golden.json with prompts, greedy continuations with margins
//   and held-out windows with their negative log-likelihood; golden.safetensors with the last four logits of
//   each prompt and doc_logits (fp16) of doc_ids.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "model/model.h"
#include "model/workspace.h"

namespace mach::testing {

// A checkpoint opened for tests, with its threads.
struct LoadedModel {
  // kernel_set: empty for the best one.
  LoadedModel(const std::filesystem::path& folder, Numerics numerics, size_t threads = 1,
              const std::string& kernel_set = "");
  LoadedModel(std::unique_ptr<Model> opened, size_t threads);

  uint32_t vocab_size() const { return model->config().vocab_size; }

  ThreadPool pool;
  Workspace workspace;
  std::unique_ptr<Model> model;
};

// Lengths of passes, repeated until the tokens are used up. Empty: one pass.
using Chunks = std::vector<uint32_t>;

using TokenIds = std::vector<int32_t>;

// Appends `ids` to `state`; logits [ids, vocab] of all of them.
std::vector<float> append_all(LoadedModel& loaded, SequenceState& state, std::span<const int32_t> ids,
                              const Chunks& chunks = {});
// The same from an empty state.
std::vector<float> logits_of(LoadedModel& loaded, std::span<const int32_t> ids, const Chunks& chunks = {});

// What the observer sees in one pass, by index.
std::map<uint32_t, std::vector<float>> hidden_of(LoadedModel& loaded, std::span<const int32_t> ids);

TokenIds greedy(LoadedModel& loaded, std::span<const int32_t> prompt, size_t count);

// Mean negative log-likelihood of ids[1..] under the logits at ids[..n-1].
double mean_nll(std::span<const float> logits, uint32_t vocab, std::span<const int32_t> ids);

struct Divergence {
  double mean_kl = 0;  // of `b` from `a`, nats
  double top1 = 0;     // share of rows with the same largest logit
};
Divergence divergence(std::span<const float> a, std::span<const float> b, uint32_t vocab);

struct Difference {
  double largest = 0;
  size_t at = 0;
};
Difference difference(std::span<const float> a, std::span<const float> b);

// --- nano checkpoints ------------------------------------------------------------------------------------

// Exact mode, one pass: hidden.i and logits within `tolerance`.
void check_nano(const std::filesystem::path& folder, double tolerance);

// Greedy continuation, token by token with caches, equals greedy_nocache_ids.
void check_nano_greedy(const std::filesystem::path& folder);

// Exact mode is bit-identical for several chunkings, with 1 and 2 threads, with every kernel set of this host,
// and for a sequence in a batch of others. The two forms of a family that differ in rounding (recurrent and
// chunked, say) may give a tolerance instead of 0.
void check_exact_invariance(const std::filesystem::path& folder, double tolerance = 0);

// Before each block a wrong draft of `draft` tokens is fed and taken back with truncate().
void check_rollback(const std::filesystem::path& folder, uint32_t draft, double tolerance = 0);

// Continuing from a snapshot, and from a saved and loaded state, equals never having stopped.
void check_snapshots(const std::filesystem::path& folder, double tolerance = 0);

// --- mini checkpoints ------------------------------------------------------------------------------------

// Exact mode: the last logits of each prompt and those of the document within `tolerance` (beyond the rounding
// of their fp16 storage), and greedy continuations up to the first near-tie (margin under 0.05).
void check_mini(const std::filesystem::path& folder, double tolerance);

// Held-out windows: the NLL of each of the first `windows` within `relative` of the reference.
void check_nll(const std::filesystem::path& folder, Numerics numerics, size_t windows, double relative);

// Fast mode, with keys and values stored as `element`, against exact mode over the document and some held-out
// windows; every position counts.
void check_fast(const std::filesystem::path& folder, KvElement element, size_t windows, double max_kl,
                double min_top1);

}  // namespace mach::testing
