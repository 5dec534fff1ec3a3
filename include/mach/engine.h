// An Engine is a loaded checkpoint, ready to run: weights, tokenizer, chat template and compute threads.
// Immutable after open() apart from its caches. Embedders, the command-line tools and the server see engines
// and sessions, never a tensor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mach/session.h"

namespace mach {

// Where the routed experts of a model live (docs/RESIDENCY.md).
enum class Residency : uint8_t {
  kAuto,       // resident where everything fits into available memory, else streaming
  kResident,   // all in memory; Error{kOutOfBudget} with the numbers where they do not fit
  kStreaming,  // on disk, behind a bank of bounded size
};

struct EngineOptions {
  bool exact = false;  // fp32 throughout, same result for any thread count and batch width
  // deepseek_v4: round activations to FP8 and FP4 where DeepSeek's own implementation does. Not part of the reference that
  // mach is compared with. Other families have no such steps.
  bool official_round_trips = false;
  uint32_t threads = 0;          // 0: one per available core
  std::string kernel_set;        // empty: the best this host runs; else a name from `mach doctor`
  uint32_t context_length = 0;   // 0: min(what the model allows, 8192)
  uint32_t prefill_chunk = 512;  // tokens per prompt pass
  std::string kv_cache;  // how keys and values are kept: "bf16" (also empty), "q8"; exact mode keeps fp32
  // What fast mode makes of bf16 matrices that bear 8 bits beside quantised experts (attention and head of gpt-oss): "q8" (also
  // empty) holds them in 8 bits, "keep" as the file does. docs/MODELS.md has what it costs.
  std::string float_weights;

  Residency residency = Residency::kAuto;
  std::optional<uint64_t> expert_cache_bytes;  // the bank's cap; empty: from available memory
  std::string expert_io = "auto";              // "uring", "pread", "buffered", "mmap"; "auto" measures
  std::string bank_eviction = "lfru";          // "lfru", "lru", "lookahead"
  bool expert_lookahead = true;                // read the next layer's likely experts ahead, where that pays
  bool verify_experts = false;                 // hold records of a sidecar against their checksums
  // Where the experts used most are noted per model, and known from: a streaming model then holds the hottest from the start
  // and for good, in at most half of its cache. Empty: nowhere.
  std::filesystem::path hot_experts_dir;

  // Memory beside the weights. An automatic size of the expert cache leaves it free; the sequences' part also counts where
  // all experts are to be resident.
  uint32_t sequences = 1;       // that run at the same time, each with context_length tokens
  uint64_t reserved_bytes = 0;  // for what the caller keeps beside them and can do without: a prefix cache
};

// What a loaded engine says about itself, for statistics and start-up lines.
struct EngineInfo {
  std::string model_path;
  std::string model_type;
  std::string quantisation;  // "affine 4-bit g64"
  std::string kernel_set;
  std::string numerics;  // "exact" or "fast"
  uint32_t threads = 0;
  uint32_t vocab_size = 0;
  uint32_t context_length = 0;
  uint64_t weight_bytes = 0;  // mapped or resident
  std::string experts;        // how routed experts are held: "resident", "streaming from sidecar, ..."
  double load_seconds = 0;
  std::vector<TokenId> stop_ids;      // union of generation_config, config, tokenizer and chat format
  std::vector<std::string> warnings;  // what was ignored in the checkpoint's files
};

class Engine {
 public:
  virtual ~Engine() = default;

  // `model` is a checkpoint folder or a hub id present in the local cache.
  // Throws Error{kNotFound, kUnsupported, kCorruptFile, kOutOfBudget}.
  static std::unique_ptr<Engine> open(const std::string& model, const EngineOptions& options = {});

  virtual const EngineInfo& info() const noexcept = 0;
  virtual std::unique_ptr<Session> new_session() = 0;

  // Text to ids and back, for plain prompts: tokens that the text spells are recognised ("<|im_end|>"), and what the
  // tokenizer puts around a text (BOS) is added. Thread-safe.
  // Throws Error{kInvalidRequest} for text that is not UTF-8, Error{kNotFound} if the checkpoint has no tokenizer.
  virtual std::vector<TokenId> encode(std::string_view text) const = 0;
  virtual std::string decode(std::span<const TokenId> tokens) const = 0;
};

}  // namespace mach
