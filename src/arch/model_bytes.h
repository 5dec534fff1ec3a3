// How many bytes and parameters a model takes, from config.json and headers alone: what `mach check` compares with the
// machine before anything is loaded, and what the loader sizes its caches by. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "arch/model_config.h"
#include "arch/tensor_plan.h"
#include "quant/kv_row.h"

namespace mach {

// Numbers of weights. Buffers that are no weights (tid2eid) and the multi-token prediction head are not counted.
struct ParameterCounts {
  uint64_t total = 0;   // a tied head counts once
  uint64_t routed = 0;  // all routed experts
  uint64_t embedding =
      0;  // tables of which a token reads one row: not the head, so 0 when that is the same table
  uint64_t active = 0;  // used by one token: all but the embedding tables, and top_k of the routed experts
};
ParameterCounts count_parameters(const ModelConfig& config);

struct ModelBytes {
  uint64_t resident = 0;           // everything but routed experts
  uint64_t routed = 0;             // all routed experts of all layers
  std::vector<uint64_t> expert;    // one expert of each MoE layer, in layer order, without padding
  uint64_t token_working_set = 0;  // top_k experts of every MoE layer
};

// Exact, from where the tensors lie. With ExpertLayout::kSidecar the experts count 0: their layout.json knows.
ModelBytes model_bytes(const ModelConfig& config, const TensorPlan& plan);

// Without tensor headers: the formats that the config announces, as the usual converters apply them. Empty when routed
// experts are in a form that config.json does not tell (GGUF blocks).
std::optional<ModelBytes> estimate_model_bytes(const ModelConfig& config);

// The format of routed experts that the config announces; empty as above.
std::optional<WeightFormat> announced_expert_format(const ModelConfig& config);

// Memory of one sequence whose keys and values are stored as `element`; recurrent and pending state is fp32 whatever it
// says.
struct KvBytes {
  uint64_t per_token = 0;  // growth with every token: full attention, and compressed entries (rounded up)
  uint64_t windows = 0;    // sliding windows, once they are full
  uint64_t state =
      0;  // recurrent and convolution state, pending rows of compressors: there from the first token
};
KvBytes kv_bytes(const ModelConfig& config, KvElement element);

// All of it for a sequence of `context` tokens (at most 2^30).
uint64_t kv_bytes_at(const ModelConfig& config, uint32_t context, KvElement element);

}  // namespace mach
