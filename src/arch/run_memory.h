// Memory that a run takes beside the weights: the caches of a sequence as the cache classes allocate them (whole blocks,
// rollback rows, staging), and the intermediate values of a prompt pass. kv_bytes_at() in model_bytes.h is what the numbers
// of a sequence need at least; this is what mach takes for them. Pure functions of the config.
#pragma once

#include <cstdint>

#include "arch/model_config.h"
#include "quant/kv_row.h"

namespace mach {

struct RunShape {
  uint32_t context = 0;          // tokens of the sequence
  uint32_t prefill_chunk = 512;  // tokens of a pass
  uint32_t rollback = 32;        // tokens that every cache can take back
  KvElement kv_element = KvElement::kBF16;
  bool int8_activations = true;  // fast mode with low-bit weights
  bool bf16_activations = true;  // fast mode with bf16 weights outside of routed experts
  bool bf16_experts = true;      // fast mode with routed experts of bf16
  // Routed experts of a prompt pass keep intermediate values in caches: fast mode with experts of integer or FP4 codes that
  // have a panel order.
  bool grouped_experts = false;
  uint32_t threads = 1;
};

// Bytes, per cache kind, of one sequence of `context` tokens. staging is what caches hold besides while a prompt is
// processed; it is gone in decode.
struct CacheMemory {
  uint64_t paged = 0;       // full attention
  uint64_t windows = 0;     // sliding windows
  uint64_t compressed = 0;  // entries of DeepSeek V4, with the raw rows of open windows
  uint64_t recurrent = 0;   // Gated DeltaNet: state, its base, convolution window, records for rollback
  uint64_t staging = 0;
  uint64_t steady() const noexcept { return paged + windows + compressed + recurrent; }
  uint64_t peak() const noexcept { return steady() + staging; }
};
CacheMemory cache_memory(const ModelConfig& config, const RunShape& shape);

// Intermediate values of the largest pass: arena, quantised inputs, per-thread scratch, one row of logits. An estimate: it
// counts the rows that the graphs take and not the small change.
uint64_t scratch_memory(const ModelConfig& config, const RunShape& shape);

// What a run takes at its peak beside the weights: what the loader leaves for it when it sizes an expert bank.
uint64_t run_memory(const ModelConfig& config, const RunShape& shape);

}  // namespace mach
